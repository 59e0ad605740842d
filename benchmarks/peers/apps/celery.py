"""Celery's app, which runs in an environment of its own."""

from __future__ import annotations

import os
from collections.abc import Iterable

from celery import Celery

from benchmarks.peers import slots

app = Celery(broker=os.environ["PENSTOCK_PEERS_URL"])
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=128,
    broker_connection_retry_on_startup=True,
)
if os.environ["PENSTOCK_PEERS_URL"].startswith("amqp"):
    app.conf.update(task_default_queue_type="quorum", broker_transport_options={"confirm_publish": True})


@app.task
def mark(number: int) -> None:
    """Mark the slot of a number."""
    slots.mark(number)


def one(number: int) -> None:
    """Enqueue one."""
    mark.delay(number)


def many(numbers: Iterable[int]) -> None:
    """Enqueue many."""
    with app.producer_or_acquire() as producer:
        for number in numbers:
            mark.apply_async((number,), producer=producer)
