"""Penstock, as it comes: no setting is changed for the contest."""

from __future__ import annotations

from benchmarks.peers.brokers import SCHEMES
from benchmarks.peers.peer import Peer

_SETTINGS = "as it comes, penstock worker -c 2 (prefork); in bulk: .delay_many of 1,000"
PEER = Peer(
    name="Penstock",
    app="benchmarks.peers.penstock_app",
    worker=("-m", "penstock", "worker", "benchmarks.peers.penstock_app:app", "-c", "2"),
    settings=dict.fromkeys(SCHEMES, _SETTINGS),
)
