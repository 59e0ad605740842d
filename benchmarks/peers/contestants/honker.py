"""honker, with its own worker."""

from __future__ import annotations

from benchmarks.peers.peer import Peer, Setup

PEER = Peer(
    name="honker",
    app="honker",
    worker=("-m", "honker", "worker", "benchmarks.peers.apps.honker:database", "--concurrency", "1"),
    setups={
        "SQLite": Setup(
            "`python -m honker worker --concurrency 1`, twice; results off; its commits do not wait for the disk (synchronous NORMAL, which it sets)",
            20_000,
        )
    },
    packages=("honker==0.2.4",),
    workers=2,
)
