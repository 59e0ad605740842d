"""Dramatiq with quorum queues, which Penstock and Celery have here."""

from __future__ import annotations

from benchmarks.peers.contestants.dramatiq import PEER as CLASSIC
from benchmarks.peers.peer import Peer, Setup

PEER = Peer(
    name="Dramatiq, quorum queues",
    app=CLASSIC.app,
    worker=CLASSIC.worker,
    setups={
        "RabbitMQ": Setup(
            "the same with quorum queues, by a subclass of its broker that adds `x-queue-type` to their arguments",
            10_000,
        )
    },
    packages=CLASSIC.packages,
    variables={"PENSTOCK_PEERS_QUEUES": "quorum"},
)
