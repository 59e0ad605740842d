"""Penstock with commits that do not wait for the disk, as taskito's do not."""

from __future__ import annotations

from benchmarks.peers.contestants.penstock import PEER as DURABLE
from benchmarks.peers.peer import Peer, Setup

PEER = Peer(
    name="Penstock, durability normal",
    app=DURABLE.app,
    worker=DURABLE.worker,
    setups={
        "SQLite": Setup(
            "the same with `?durability=normal`: its commits do not wait for the disk, as taskito's", 200_000
        )
    },
    variables={"PENSTOCK_PEERS_OPTIONS": "?durability=normal"},
    url=DURABLE.url,
)
