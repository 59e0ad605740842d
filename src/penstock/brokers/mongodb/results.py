"""The results of stages of a MongoDB queue that others take: kept as long as one of these may."""

from __future__ import annotations

from collections.abc import Collection

from penstock.brokers.mongodb.layout import Layout
from penstock.core.handing import NIL
from penstock.core.workflow import StageState
from penstock.stores.mongodb import Document

#: Where stages are that take nothing any more.
_OVER = (StageState.STARTED.value, StageState.SKIPPED.value)


def nothing(job: bytes, stage: bytes) -> Document:
    """What a job leaves that is deleted: it keeps its place among the results, and is never seen elsewhere."""
    return {"_id": job, "value": NIL, "expires": 0.0, "stage": stage}


def wanted(layout: Layout, stages: Collection[bytes]) -> set[bytes]:
    """The stages of these whose results a stage may yet take: it waits, or was cancelled and may be resumed."""
    if not stages:
        return set()
    takers = layout.stages.find({"takes": {"$in": list(stages)}, "state": {"$nin": _OVER}}, {"takes": 1}).hint("takes")
    return {one for taker in takers for one in taker["takes"]}.intersection(stages)


def prune_results(layout: Layout, now: float) -> int:
    """Delete the results that have expired, but for those that are wanted; returns how many."""
    expired = {"expires": {"$lte": now}}
    of_stages = layout.results.find({"stage": {"$exists": True}, **expired}, {"stage": 1}).hint("expires")
    kept = wanted(layout, {one["stage"] for one in of_stages})
    chosen = {**expired, "stage": {"$nin": list(kept)}} if kept else expired
    return layout.results.delete_many(chosen).deleted_count
