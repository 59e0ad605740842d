"""What workers have counted, in a collection of its own: written seldom, read back by time, and gone by themselves."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import msgspec

from penstock.brokers.mongodb.layout import Layout
from penstock.core.metrics import COARSE, KEPT, Point, Sample, decoded_sample


def record_metrics(layout: Layout, worker: str, span: int, number: int, point: Point, at: float, now: float) -> None:
    """Keep a worker's point that ended `at` a time, and is stored `now`; see `Broker.record`."""
    shown = {
        "worker": worker,
        "span": span,
        "at": at,
        "point": msgspec.msgpack.encode(point),
        # The server deletes it when that time has come, whether a worker is there to prune or not.
        "gone": dt.datetime.fromtimestamp(now, dt.UTC) + dt.timedelta(seconds=KEPT.get(span, span)),
    }
    layout.metrics.update_one({"_id": f"{worker}:{span}:{number}"}, {"$set": shown}, upsert=True)


def prune_metrics(layout: Layout, now: float) -> None:
    """Delete what is too old, or from before the server's clock was set back: that would be long in going."""
    for span, kept in KEPT.items():
        for beyond in {"$lt": now - kept}, {"$gt": now + COARSE}:
            layout.metrics.delete_many({"span": span, "at": beyond})


def samples(layout: Layout, since: float, span: int) -> Sequence[Sample]:
    """The points of a span that ended after a time, oldest first."""
    found = layout.metrics.find({"span": span, "at": {"$gt": since}}).hint("at").sort([("at", 1), ("_id", 1)])
    return [decoded_sample(one["worker"], one["at"], one["point"]) for one in found]
