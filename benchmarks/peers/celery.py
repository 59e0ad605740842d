"""Celery, set up for short tasks that no killed worker may lose."""

from __future__ import annotations

from benchmarks.peers.peer import Peer

_SETTINGS = (
    "celery worker --pool prefork --concurrency 2, task_acks_late, task_reject_on_worker_lost, worker_prefetch_multiplier 128 "
    "(its guide names 64 to 150 for short tasks), task_ignore_result; in bulk: one producer for all calls of apply_async"
)
PEER = Peer(
    name="Celery",
    app="benchmarks.peers.celery_app",
    worker=("-m", "celery", "-A", "benchmarks.peers.celery_app", "worker", "--pool", "prefork", "--concurrency", "2"),
    settings={
        "Redis": _SETTINGS,
        "RabbitMQ": f"{_SETTINGS}; task_default_queue_type quorum, confirm_publish",
    },
    packages=("celery[redis]==5.7.0", "hiredis"),
)
