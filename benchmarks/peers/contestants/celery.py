"""Celery, set up for short tasks that no killed worker may lose."""

from __future__ import annotations

from benchmarks.peers.peer import Peer, Setup

_WORDS = (
    "`celery worker --pool prefork --concurrency 2`, task_acks_late, task_reject_on_worker_lost, worker_prefetch_multiplier 128 "
    "(its guide names 64 to 150 for short tasks), task_ignore_result; in bulk one producer for all calls of apply_async, for it has no other"
)
PEER = Peer(
    name="Celery",
    app="celery",
    worker=("-m", "celery", "-A", "benchmarks.peers.apps.celery", "worker", "--pool", "prefork", "--concurrency", "2"),
    setups={
        "Redis": Setup(_WORDS, 5_000),
        "RabbitMQ": Setup(f"{_WORDS}; task_default_queue_type quorum, confirm_publish", 6_000),
        "MongoDB": Setup(f"{_WORDS}; kombu's MongoDB transport", 1_500),
    },
    packages=("celery[redis,mongodb]==5.7.0", "hiredis"),
)
