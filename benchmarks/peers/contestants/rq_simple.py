"""RQ without a fork for each job."""

from __future__ import annotations

from benchmarks.peers.contestants.rq import PEER as FORKING
from benchmarks.peers.peer import Peer, Setup

PEER = Peer(
    name="RQ, SimpleWorker",
    app="rq",
    worker=(*FORKING.worker, "--worker-class", "rq.worker.SimpleWorker"),
    setups={
        "Redis": Setup(
            "the same with `--worker-class rq.worker.SimpleWorker`: jobs run in the worker's own process", 3_000
        )
    },
    packages=FORKING.packages,
)
