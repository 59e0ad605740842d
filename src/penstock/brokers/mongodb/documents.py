"""Jobs as documents and back, and what an ending changes in one: pure.

Where a job stands is told by the one field that only jobs in that state have: `place` (ready), `worker` (running), `due`
(delayed), `parked` or `ended`. Each has an index that holds no other jobs. `state` says the same in a word, for people.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from penstock.core.job import Failure, JobRecord, Lease, NewJob, due_at
from penstock.core.limiter import gate, is_ordered, line, queue_of
from penstock.core.outcome import Ending, Outcome
from penstock.core.shipment import MovedJob
from penstock.core.states import State
from penstock.core.text import storable
from penstock.errors import StoreError

#: One field sorts the ready jobs of a queue: the rank (9 - priority), above a number that grows with each arrival.
_POSITION_BITS = 58
#: Bytes that a job's own part of a document may have; MongoDB allows 16 MiB for all of it.
LARGEST = 15 << 20
#: The state of a job that is stored and not yet born: see `penstock.brokers.mongodb.intents`.
HIDDEN = "hidden"
#: The field of a job whose arrival wakes the workers: one of those that are stored together.
RING = "ring"
#: The fields that tell where a job stands.
STANDING = ("state", "place", "due", "parked", "ended", "worker", "process", "claim")
#: What a job that does not run any more is without.
_RUNNING = ("worker", "claim")
#: The field that stays, and tells of a job that it is not as it was stored first.
HAD = "process"
#: The priority of what keeps an order, whose line is sorted by place.
_ORDERED = 5
#: A field of a NewJob that goes into its document where it says anything, by the document's name for it.
_OPTIONAL = {
    "gate": "gate", "options": "options", "batch": "batch", "unique": "unique", "item": "item", "packed": "packed",
    "at_most_once": "once",
}  # fmt: skip

Update = dict[str, Any] | list[dict[str, Any]]


def home(priority: int, place: int) -> int:
    """Where a job of a priority stands among the ready ones."""
    return (9 - priority << _POSITION_BITS) | place


def document(job: NewJob, place: int, now: float) -> dict[str, Any]:
    """A job as it is stored.

    Parameters:
        place: its number in the order of arrival.

    Raises:
        StoreError: it is larger than a document may be.
    """
    failure = encoded(job.failure)
    if len(job.payload) + len(job.options or b"") + len(failure or b"") > LARGEST:
        raise StoreError(
            f"a job of {job.task} has {len(job.payload):,} bytes of arguments, and MongoDB takes {LARGEST:,}: "
            "store them elsewhere and send where they are"
        )
    stored: dict[str, Any] = {
        "_id": job.id, "task": job.task, "queue": line(job.queue, job.gate), "priority": job.priority, "payload": job.payload,
        "attempt": job.attempt, "created": now, "home": home(_ORDERED if is_ordered(job.gate) else job.priority, place),
    }  # fmt: skip
    for name, field in _OPTIONAL.items():
        value = getattr(job, name)
        if value is not None and value is not False:
            stored[field] = value
    if job.items != 1:
        stored["items"] = job.items
    if failure is not None:
        stored["failure"] = failure
    due = due_at(job, now)
    if job.dead:
        stored.pop("unique", None)
        stored.update(state=State.DEAD.value, ended=now)
    elif due is not None:
        stored.update(state=State.DELAYED.value, due=due)
    else:
        stored.update(state=State.READY.value, place=stored["home"])
        if is_ordered(job.gate):
            stored["turn"] = stored["home"]
    return stored


def rings_for_ready(told: Mapping[str, Any]) -> bool:
    """Is what rings, a job or the rest of it, one that is ready and passes no gate of its own?"""
    return told.get("state") == State.READY.value and not told["queue"].startswith(",")


def arriving(job: MovedJob, place: int) -> dict[str, Any]:
    """A job with a history, as it is stored.

    Parameters:
        place: its number in the order of arrival.

    Raises:
        StoreError: it is larger than a document may be.
    """
    plain = NewJob(
        job.id, job.task, job.payload, job.queue, job.priority, run_at=job.run_at, unique=job.unique, options=job.options, batch=job.batch,
        items=job.items, packed=job.packed, item=job.item, at_most_once=job.at_most_once, attempt=job.attempt, gate=job.gate,
    )  # fmt: skip
    stored = document(plain, place, job.created_at)
    if job.crashes:
        stored["crashes"] = job.crashes
    if job.failure is not None:
        stored["failure"] = job.failure
    if job.since is not None:
        stored["since"] = job.since
    match job.state:
        case State.PARKED:
            stored.pop("place", None)
            stored.update(state=job.state.value, parked=job.task)
        case State.DEAD | State.CANCELLED:
            for name in ("place", "turn"):
                stored.pop(name, None)
            stored.update(state=job.state.value, ended=job.created_at if job.ended_at is None else job.ended_at)
    if job.placed:
        stored["turn"] = stored["home"]
    return stored


def departing(found: Mapping[str, Any]) -> MovedJob:
    """A job as it leaves, of what was on the shelf while it was marked."""
    whole = {**found, **found.get("shelf", {})}
    get = whole.get
    # BSON has its own kind of int for large numbers.
    item = None if "item" not in whole else int(whole["item"])
    return MovedJob(
        whole["_id"], whole["task"], whole["payload"], State(whole["state"]), whole["created"], queue_of(whole["queue"]), whole["priority"],
        get("options"), int(whole["attempt"]), get("crashes", 0), get("batch"), int(get("items", 1)), get("packed", False), item, get("once", False),
        get("unique"), get("due"), get("since"), get("ended"), get("failure"), get("gate"), "turn" in whole,
    )  # fmt: skip


def encoded(failure: Failure | None) -> bytes | None:
    """A failure as bytes. An exception may quote a file name that is no Unicode, which is no reason to lose its end."""
    if failure is None:
        return None
    texts = (storable(text) for text in (failure.kind, failure.message, failure.traceback))
    return msgspec.msgpack.encode(Failure(*texts))


def lease(found: Mapping[str, Any]) -> Lease:
    """A job that was claimed, for its holder."""
    get = found.get
    id = found["_id"]
    return Lease(
        id, int.from_bytes(id[-8:], "big"), found["claim"], found["task"], found["payload"], queue_of(found["queue"]),
        found["priority"], found["attempt"], get("crashes", 0), get("options"), get("batch"), get("items", 1),
        get("packed", False), get("item"), get("once", False), get("gate"),
    )  # fmt: skip


def record(found: Mapping[str, Any]) -> JobRecord:
    """A job for the Inspector."""
    get = found.get
    failure = get("failure")
    return JobRecord(
        id=found["_id"], task=found["task"], queue=queue_of(found["queue"]), gate=get("gate"), priority=found["priority"],
        state=State(found["state"]), attempt=found["attempt"], crashes=get("crashes", 0), created_at=found["created"],
        payload=found["payload"], items=get("items", 1), packed=get("packed", False), item=get("item"),
        batch=get("batch"), unique=get("unique"), run_at=get("due"), ended_at=get("ended"),
        failure=None if failure is None else msgspec.msgpack.decode(failure, type=Failure),
        worker=None if get("worker") is None else f"{found['worker']}/{found['process']}",
    )  # fmt: skip


def ending(outcome: Outcome, place: int, now: float) -> Update:
    """What an ending that keeps the job changes in its document.

    Parameters:
        place: the job's number in the order of arrival, should it go to the back.
    """
    kept: dict[str, Any] = {}
    if outcome.payload is not None:
        kept["payload"] = outcome.payload
    if outcome.items is not None:
        kept["items"] = outcome.items
    failure = encoded(outcome.failure)
    if failure is not None:
        kept["failure"] = failure
    gone = dict.fromkeys(_RUNNING, 1)
    lease = outcome.lease
    match outcome.ending:
        case Ending.RETRY | Ending.SNOOZE if outcome.delay <= 0 and is_ordered(lease.gate):
            counted = {"$add": ["$attempt", 1 if outcome.ending is Ending.RETRY else 0]}
            literal = {name: {"$literal": value} for name, value in kept.items()}
            return to_its_place({**literal, "since": now, "attempt": counted})
        case Ending.RETRY | Ending.SNOOZE if outcome.delay > 0:
            kept.update(state=State.DELAYED.value, due=now + outcome.delay)
        case Ending.RETRY | Ending.SNOOZE:
            back = home(lease.priority, place)
            kept.update(state=State.READY.value, place=back, home=back, since=now)
        case Ending.DEAD | Ending.CANCELLED:
            dead = outcome.ending is Ending.DEAD
            kept.update(state=(State.DEAD if dead else State.CANCELLED).value, ended=now)
            gone.update(unique=1, cancelled=1, turn=1)
        case Ending.PARKED:
            kept.update(state=State.PARKED.value, parked=lease.task)
        case _:
            kept.pop("failure", None)
            return to_its_place({name: {"$literal": value} for name, value in kept.items()})
    update: dict[str, Any] = {"$set": kept, "$unset": gone}
    counts = {name: count for name, count in zip(("attempt", "crashes"), outcome.counts, strict=True) if count}
    if counts:
        update["$inc"] = counts
    return update


def goes_to_the_back(outcome: Outcome) -> bool:
    """Does the job become ready again, behind the others?"""
    again = outcome.ending in {Ending.RETRY, Ending.SNOOZE} and outcome.delay <= 0
    return again and not is_ordered(outcome.lease.gate)


def to_its_place(kept: Mapping[str, Any] | None = None) -> Update:
    """Make jobs ready where they were before.

    Parameters:
        kept: expressions for other fields.
    """
    return [
        {"$set": {"state": State.READY.value, "place": "$home", **(kept or {})}},
        {"$unset": [*_RUNNING, "parked"]},
    ]


def to_the_back(place: int | Mapping[str, Any], now: float) -> Update:
    """Make jobs ready behind the others, or where they were in the order of their key; with all their attempts where they had ended.

    Parameters:
        place: a number in the order of arrival, or an expression for one. Jobs of one number come in the order of their ids.
    """
    ordered: dict[str, Any] = {"$eq": [{"$substrCP": [{"$ifNull": ["$gate", ""]}, 0, 1]}, gate("", ordered=True)]}
    rank: dict[str, Any] = {
        "$multiply": [{"$subtract": [9, {"$cond": [ordered, _ORDERED, "$priority"]}]}, 1 << _POSITION_BITS]
    }
    # While a job is marked, what tells of its end is on the shelf.
    ended: dict[str, Any] = {"$ne": [{"$type": {"$ifNull": ["$ended", "$shelf.ended"]}}, "missing"]}
    return [
        {
            "$set": {
                "state": State.READY.value,
                "home": {"$ifNull": ["$turn", {"$add": [rank, place]}]},
                "since": now,
                "attempt": {"$cond": [ended, 0, "$attempt"]},
                "crashes": {"$cond": [ended, 0, {"$ifNull": ["$crashes", 0]}]},
            }
        },
        {"$set": {"place": "$home", "turn": {"$cond": [ordered, "$home", "$$REMOVE"]}}},
        {"$unset": ["due", "ended"]},
    ]
