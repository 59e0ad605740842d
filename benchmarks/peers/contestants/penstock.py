"""Penstock, as it comes: no setting is changed for the contest."""

from __future__ import annotations

from benchmarks.peers.peer import Peer, Setup

_WORDS = "as it comes: `penstock worker -c 2` (prefork), the URL in `PENSTOCK_URL`; in bulk `.delay_many` of 1,000"
_JOBS = {"SQLite": 200_000, "PostgreSQL": 200_000, "MongoDB": 40_000, "Redis": 200_000, "RabbitMQ": 100_000}
PEER = Peer(
    name="Penstock",
    app="penstock",
    worker=("-m", "penstock", "worker", "benchmarks.peers.apps.penstock:app", "-c", "2"),
    url="PENSTOCK_URL",
    setups={store: Setup(_WORDS, jobs) for store, jobs in _JOBS.items()},
)
