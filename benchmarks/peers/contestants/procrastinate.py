"""Procrastinate."""

from __future__ import annotations

from benchmarks.peers.peer import Peer, Setup

PEER = Peer(
    name="procrastinate",
    app="procrastinate",
    worker=("-m", "procrastinate", "--app", "benchmarks.peers.apps.procrastinate.app", "worker", "--concurrency", "10"),
    setups={
        "PostgreSQL": Setup(
            "`procrastinate worker --concurrency 10`, twice; a coroutine, LISTEN/NOTIFY as it comes; in bulk `batch_defer_async` of 1,000",
            3_000,
        )
    },
    packages=("procrastinate==3.10.0", "psycopg[binary]"),
    workers=2,
)
