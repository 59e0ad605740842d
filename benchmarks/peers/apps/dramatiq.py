"""Dramatiq's app."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import dramatiq
from dramatiq import Broker
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.brokers.redis import RedisBroker

from benchmarks.peers import slots


class QuorumBroker(RabbitmqBroker):
    """Its queues of jobs as quorum queues, for which it has no option."""

    def _build_queue_arguments(self, queue_name: str) -> dict[str, Any]:
        return {**super()._build_queue_arguments(queue_name), "x-queue-type": "quorum"}


def _broker(url: str) -> Broker:
    if not url.startswith("amqp"):
        return RedisBroker(url=url)
    kind = QuorumBroker if os.environ.get("PENSTOCK_PEERS_QUEUES") == "quorum" else RabbitmqBroker
    return kind(url=url, confirm_delivery=True)


dramatiq.set_broker(_broker(os.environ["PENSTOCK_PEERS_URL"]))


@dramatiq.actor
def mark(number: int) -> None:
    """Mark the slot of a number."""
    slots.mark(number)


def one(number: int) -> None:
    """Enqueue one."""
    mark.send(number)


def many(numbers: Iterable[int]) -> None:
    """Enqueue many."""
    dramatiq.group(mark.message(number) for number in numbers).run()
