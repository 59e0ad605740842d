"""honker's calls for many; no tasks and no worker, so a bare loop around them."""

from __future__ import annotations

from benchmarks.peers.peer import Peer, Setup

PEER = Peer(
    name="honker, batches",
    app="honker_batches",
    worker=("-m", "benchmarks.peers.apps.honker_batches"),
    setups={
        "SQLite": Setup(
            "no tasks: `claim_batch` and `ack_batch` of 1,000 in a loop that its user writes, twice; commits as above; in bulk a transaction of 1,000",
            200_000,
        )
    },
    packages=("honker==0.2.4",),
    workers=2,
)
