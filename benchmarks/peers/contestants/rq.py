"""RQ as it comes: its worker forks for each job."""

from __future__ import annotations

from benchmarks.peers.peer import URL, Peer, Setup

_COMMAND = "import os, sys; from rq.cli import main; sys.argv[1:] = ['worker-pool', '--quiet', '--url', os.environ['{url}'], *sys.argv[1:]]; main()"
PEER = Peer(
    name="RQ",
    app="rq",
    worker=("-c", _COMMAND.format(url=URL), "--num-workers", "2"),
    setups={
        "Redis": Setup(
            "`rq worker-pool --num-workers 2`, result_ttl=0; it forks for each job; in bulk `enqueue_many` of 1,000",
            400,
        )
    },
    packages=("rq==3.0.0", "hiredis"),
)
