"""Dramatiq, which acknowledges after the run as it comes."""

from __future__ import annotations

from benchmarks.peers.peer import Peer, Setup

_WORDS = "`dramatiq --processes 2 --threads 8` (8 is what it has as it comes); in bulk a `group` of 1,000"
PEER = Peer(
    name="Dramatiq",
    app="dramatiq",
    worker=("-m", "dramatiq", "benchmarks.peers.apps.dramatiq", "--processes", "2", "--threads", "8"),
    setups={
        "Redis": Setup(_WORDS, 15_000),
        "RabbitMQ": Setup(
            f"{_WORDS}; confirm_delivery, classic durable queues, for it declares no other: on one node a confirmed message is on the disk, as with quorum queues, and on several on one alone",
            10_000,
        ),
    },
    packages=("dramatiq[redis,rabbitmq]==2.2.1", "hiredis"),
)
