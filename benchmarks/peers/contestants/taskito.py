"""taskito."""

from __future__ import annotations

from benchmarks.peers.peer import Peer, Setup

PEER = Peer(
    name="taskito",
    app="taskito",
    worker=("-m", "taskito.cli", "worker", "--app", "benchmarks.peers.apps.taskito:queue", "--pool", "prefork"),
    setups={
        "SQLite": Setup(
            "`taskito worker --pool prefork`, workers=2, scheduler_batch_size=100, push_dispatch=True; its commits do not wait for the disk (synchronous NORMAL, which it sets); in bulk `map` of 1,000",
            2_000,
        )
    },
    packages=("taskito==0.22.0",),
)
