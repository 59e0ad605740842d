"""Events to three groups, on each store, beside as many jobs without any topic."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from benchmarks.enqueue import empty
from benchmarks.figures import AtLeast, Figure, alternate
from benchmarks.places import folder, url
from benchmarks.stores import stores
from penstock import Penstock

_GROUPS = ("ledger", "mail", "audit")
_EVENT = {"order": 7, "symbol": "ABC", "quantity": 100, "price": 12.5}


def run(quick: bool) -> list[Figure]:
    """Every store, by one connection."""
    count, repeats = (2_000, 3) if quick else (10_000, 7)
    with folder() as place:
        figures = [_measured("SQLite", lambda: url(empty(place / "queue.db")), count, repeats)]
    with stores() as kinds:
        figures += [_measured(store.name, store.new, count, repeats) for store in kinds]
    return figures


def _measured(name: str, new: Callable[[], str], count: int, repeats: int) -> Figure:
    jobs = count * len(_GROUPS)
    samples = alternate(repeats, lambda: _published(new(), count), lambda: _delayed(new(), jobs))
    what = f"{name}: publish_many of {count:,} events to {len(_GROUPS)} groups, beside delay_many of {jobs:,} jobs"
    return samples.figure(what, "jobs/s", ">= 0.95 of delay_many", AtLeast(0.95))


def _published(where: str, count: int) -> float:
    app = Penstock(where)
    for group in _GROUPS:
        app.subscribe("orders.*", group=group, name=group)(_handle)
    with app.client.broker() as broker:
        app.register(broker)
    topic = app.topic("orders.filled")
    topic.publish(_EVENT)
    try:
        return _rate(topic.publish_many, [_EVENT] * count) * len(_GROUPS)
    finally:
        app.close()


def _delayed(where: str, count: int) -> float:
    app = Penstock(where)
    task = app.task(name="ledger")(_handle)
    task.delay(_EVENT)
    try:
        return _rate(task.delay_many, [(_EVENT,)] * count)
    finally:
        app.close()


def _rate(send: Callable[[Sequence[object]], object], many: Sequence[object]) -> float:
    began = time.perf_counter()
    send(many)
    return len(many) / (time.perf_counter() - began)


def _handle(event: dict[str, object]) -> None:
    """Do nothing."""
