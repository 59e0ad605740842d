"""streaQ."""

from __future__ import annotations

from benchmarks.peers.peer import Peer, Setup

PEER = Peer(
    name="streaQ",
    app="streaq",
    worker=("-m", "streaq", "run", "benchmarks.peers.apps.streaq:worker", "--workers", "2"),
    setups={
        "Redis": Setup(
            "`streaq run --workers 2`, a coroutine, concurrency 16 as it comes, ttl=0; in bulk `enqueue_many` of 1,000",
            10_000,
        )
    },
    packages=("streaq==7.2.0", "uvloop"),
)
