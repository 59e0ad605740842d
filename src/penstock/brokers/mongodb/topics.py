"""Who subscribes to what in a MongoDB queue."""

from __future__ import annotations

from collections.abc import Sequence

from pymongo import DeleteOne, UpdateMany, UpdateOne

from penstock.brokers.mongodb.layout import Layout
from penstock.core.topics import Subscription
from penstock.stores.mongodb import Document


def read(layout: Layout) -> list[Subscription]:
    """All subscriptions, in the order of their keys."""
    found = [
        Subscription(
            one["_id"]["group"], one["_id"]["task"], one["_id"]["pattern"], one["queue"], one["priority"], one["gate"],
            one["at_most_once"],
        )
        for one in layout.subscriptions.find()
    ]  # fmt: skip
    return sorted(found, key=lambda one: one.key)


def subscribe(layout: Layout, subscriptions: Sequence[Subscription]) -> None:
    """Keep subscriptions, and give all patterns of a handler the same terms."""
    # Whoever is killed in between does it again at its next start.
    writes: list[UpdateOne | UpdateMany] = []
    for one in subscriptions:
        terms = {"queue": one.queue, "priority": one.priority, "gate": one.gate, "at_most_once": one.at_most_once}
        writes += (
            UpdateOne({"_id": _id(one)}, {"$set": terms}, upsert=True),
            UpdateMany({"_id.group": one.group, "_id.task": one.task}, {"$set": terms}),
        )
    if writes:
        layout.subscriptions.bulk_write(writes)


def unsubscribe(layout: Layout, subscriptions: Sequence[Subscription]) -> int:
    """Forget subscriptions; returns how many there were."""
    if not subscriptions:
        return 0
    return layout.subscriptions.bulk_write([DeleteOne({"_id": _id(one)}) for one in subscriptions]).deleted_count


def _id(one: Subscription) -> Document:
    return {"group": one.group, "task": one.task, "pattern": one.pattern}
