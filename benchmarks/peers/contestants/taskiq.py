"""taskiq on a stream of Redis, its broker that acknowledges."""

from __future__ import annotations

from benchmarks.peers.peer import Peer, Setup

PEER = Peer(
    name="taskiq",
    app="taskiq",
    worker=(
        "-m",
        "taskiq",
        "worker",
        "benchmarks.peers.apps.taskiq:broker",
        "--workers",
        "2",
        "--log-level",
        "WARNING",
    ),
    setups={
        "Redis": Setup(
            "RedisStreamBroker, `taskiq worker --workers 2`, a coroutine, 100 at a time as it comes, uvloop", 20_000
        )
    },
    packages=("taskiq==0.13.0", "taskiq-redis==1.2.4", "uvloop", "hiredis"),
)
