"""Huey, whose jobs are taken out of the queue before they run."""

from __future__ import annotations

from benchmarks.peers.peer import Peer, Setup

_WORDS = "`huey_consumer -k process -w 2`, results off; at most once, for it has no other way"
PEER = Peer(
    name="Huey",
    app="huey",
    worker=("-m", "huey.bin.huey_consumer", "benchmarks.peers.apps.huey.huey", "-k", "process", "-w", "2", "-q"),
    setups={
        "SQLite": Setup(f"{_WORDS}; fsync=True, its delay between looks 0.1 s as it comes", 15_000),
        "Redis": Setup(f"{_WORDS}; blocking", 20_000),
    },
    packages=("huey==3.5.4", "redis", "hiredis"),
)
