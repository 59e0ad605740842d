"""Dramatiq's app."""

from __future__ import annotations

import os
from collections.abc import Iterable

import dramatiq
from dramatiq import Broker
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.brokers.redis import RedisBroker

from benchmarks.peers import slots

_url = os.environ["PENSTOCK_PEERS_URL"]
broker: Broker = RabbitmqBroker(url=_url, confirm_delivery=True) if _url.startswith("amqp") else RedisBroker(url=_url)
dramatiq.set_broker(broker)


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
