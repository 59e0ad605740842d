"""What the jobs of a stage in a MongoDB queue are handed as it starts, and why one is cancelled."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.brokers.mongodb.documents import LARGEST
from penstock.brokers.mongodb.layout import Layout
from penstock.brokers.mongodb.waiting import ENDED
from penstock.core import handing
from penstock.core.job import Failure
from penstock.core.states import State
from penstock.core.workflow import Rule, why
from penstock.stores.mongodb import Document


class TooMuch(Exception):
    """It is more than jobs are handed; says what to do."""


def given(layout: Layout, stage: Document, trigger: bytes) -> bytes | None:
    """The end of the payloads of those jobs of a stage that take results; None where there are none.

    Parameters:
        trigger: the stage that has it start.

    Raises:
        TooMuch: the stage is to be cancelled.
    """
    if not stage["takers"]:
        return None
    chosen = {"batch": stage["_id"], "takes": True}
    counted: list[dict[str, Any]] = [
        {"$match": chosen},
        {"$group": {"_id": None, "count": {"$sum": 1}, "most": {"$max": {"$binarySize": "$payload"}}}},
    ]
    takers = next(iter(layout.jobs.aggregate(counted, hint="batch")), None)
    if takers is None:
        return None
    if stage["rule"] == Rule.FAILED:
        failure, _ = _first_failure(layout, trigger)
        made = handing.results([[failure or handing.CANCELLED]])
    else:
        taken = stage.get("takes", [])
        # Asked before it is read: it may be more than there is memory for.
        _check(sum(_size(layout, one) for one in set(taken)), takers)
        made = handing.results([_results(layout, one) for one in taken])
    _check(len(made), takers)
    return made


def _check(size: int, takers: Document) -> None:
    count = takers["count"]
    if size > handing.MOST_HANDED:
        raise TooMuch(
            f"the results that it takes have {size:,} bytes, and a job is handed {handing.MOST_HANDED:,} at most: "
            "store them, and return where they are"
        )
    if size * count > handing.MOST_TOGETHER:
        raise TooMuch(
            f"the results that {count:,} jobs take have {size:,} bytes each time, and a stage is handed "
            f"{handing.MOST_TOGETHER:,} in all: store them, and return where they are"
        )
    if size + takers["most"] > LARGEST:
        raise TooMuch(
            f"the results that it takes have {size:,} bytes, its own arguments {takers['most']:,}, and MongoDB takes {LARGEST:,}: "
            "store them, and return where they are"
        )


def _size(layout: Layout, stage: bytes) -> int:
    """Bytes of a stage's results."""
    summed: list[dict[str, Any]] = [
        {"$match": {"stage": stage}},
        {"$group": {"_id": None, "size": {"$sum": {"$binarySize": "$value"}}}},
    ]
    found = next(iter(layout.results.aggregate(summed, hint="stage")), None)
    return 0 if found is None else int(found["size"])


def _results(layout: Layout, stage: bytes) -> list[bytes]:
    """The encoded results of a stage's jobs, in their order; of one that failed, its failure."""
    values = {one["_id"]: bytes(one["value"]) for one in layout.results.find({"stage": stage}).hint("stage")}
    failed = layout.jobs.find({"batch": stage, "state": {"$in": ENDED}}, {"failure": 1}).hint("batch")
    values |= {one["_id"]: bytes(one.get("failure") or handing.CANCELLED) for one in failed}
    counted = layout.batches.find_one({"_id": stage}, {"total": 1}) or {}
    # What a sink writes returns nothing, and leaves nothing.
    missing = int(counted.get("total", 0)) - len(values)
    return [values[id] for id in sorted(values)] + [handing.NIL] * missing


def reason_of(layout: Layout, stage: bytes, name: str) -> str:
    """Why those are cancelled that wait for a stage."""
    found, is_dead = _first_failure(layout, stage)
    failure = None if found is None else msgspec.msgpack.decode(found, type=Failure)
    return why(name, failure, is_dead=is_dead)


def _first_failure(layout: Layout, stage: bytes) -> tuple[bytes | None, bool]:
    """What is noted of the first job of a stage that failed, or else was cancelled; and did it fail?"""
    for state in (State.DEAD, State.CANCELLED):
        chosen = {"batch": stage, "state": state.value}
        found = layout.jobs.find_one(chosen, {"failure": 1}, sort=[("_id", 1)], hint="batch")
        if found is not None:
            return found.get("failure"), state is State.DEAD
    return None, False
