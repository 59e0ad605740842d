"""celery-batches: Celery's calls gathered in the worker, and handed to a task as a list."""

from __future__ import annotations

from benchmarks.peers.peer import Peer, Setup

PEER = Peer(
    name="celery-batches",
    app="celery_batches",
    worker=(
        "-m",
        "celery",
        "-A",
        "benchmarks.peers.apps.celery_batches",
        "worker",
        "--pool",
        "prefork",
        "--concurrency",
        "2",
    ),
    setups={
        "Redis": Setup(
            "`celery worker --pool prefork --concurrency 2`, flush_every 1,000, flush_interval 1 s, worker_prefetch_multiplier 1,000 "
            "(its guide: 0, or more than flush_every in all), task_acks_late, task_ignore_result; each list is one binary COPY",
            0,
        ),
    },
    # It refuses Celery 5.7.
    packages=("celery[redis]==5.6.3", "celery-batches==0.11", "hiredis", "psycopg[binary]"),
)
