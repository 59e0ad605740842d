"""awa, whose engine is in Rust."""

from __future__ import annotations

from benchmarks.peers.peer import Peer, Setup

PEER = Peer(
    name="awa",
    app="awa",
    worker=(
        "-m",
        "benchmarks.peers.apps.awa",
    ),
    setups={
        "PostgreSQL": Setup(
            "`AsyncClient.start` with 32 jobs at once, twice; a coroutine, all else as it comes; in bulk `enqueue_many_copy` of 1,000",
            8_000,
        )
    },
    packages=("awa-pg==0.6.9",),
    workers=2,
)
