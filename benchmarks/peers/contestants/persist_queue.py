"""persist-queue: a file queue with acknowledgements; no tasks and no worker, so a bare loop around it."""

from __future__ import annotations

from benchmarks.peers.peer import Peer, Setup

PEER = Peer(
    name="persist-queue",
    app="persist_queue",
    worker=("-m", "benchmarks.peers.apps.persist_queue"),
    setups={
        "SQLite": Setup(
            "SQLiteAckQueue and a loop of get, mark and ack, in one process, for it is made for threads of one; looks every 10 ms, "
            "for `get` does not see what other processes put in; clear_acked_data each 1,000",
            8_000,
        )
    },
    packages=("persist-queue==1.1.0",),
)
