"""Forgetting the counters of batches that have ended in a MongoDB queue."""

from __future__ import annotations

from pymongo import DeleteOne, UpdateOne

from penstock.brokers.mongodb.layout import Layout
from penstock.stores.mongodb import Document

_COUNTERS = ("total", "done", "failed", "retried")


def prune_batches(layout: Layout, now: float, every: float, most: int) -> None:
    """Delete the counters of batches that had no job at the last look, have none now, are of no stage, and did not change in between.

    Parameters:
        now: in epoch seconds.
        every: seconds until the next look at one that stays.
        most: how many to look at.
    """
    due = layout.batches.find({"look": {"$not": {"$gt": now}}}, hint="look").sort("look", 1).limit(most).to_list()
    if not due:
        return
    ids = [one["_id"] for one in due]
    lives = set(layout.jobs.distinct("batch", {"batch": {"$in": ids}}))
    # Those of a workflow stay as long as that does.
    lives.update(one["_id"] for one in layout.stages.find({"_id": {"$in": ids}}, {"_id": 1}))
    layout.batches.bulk_write([_change(one, one["_id"] in lives, now + every) for one in due], ordered=False)


def _change(found: Document, lives: bool, next_look: float) -> DeleteOne | UpdateOne:
    counts = {name: found.get(name) for name in _COUNTERS}
    seen = None if lives else sum(value or 0 for value in counts.values())
    # Whoever has stored a job of it since has changed its counters.
    same = {"_id": found["_id"], **counts}
    if seen is not None and seen == found.get("seen"):
        return DeleteOne(same)
    return UpdateOne(same, {"$set": {"look": next_look, "seen": seen}})
