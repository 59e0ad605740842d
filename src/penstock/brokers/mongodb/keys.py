"""Unique keys in a MongoDB queue that are not simply held until their job's end.

A job that gives way is replaced as one document. Who holds a key for a time is noted before its job is stored, and the note says so until it is: whoever
finds such a note of somebody who died over it takes it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from msgspec.structs import replace
from pymongo.client_session import ClientSession
from pymongo.errors import DuplicateKeyError

from penstock.brokers.mongodb.documents import HAD, document
from penstock.brokers.mongodb.layout import Layout
from penstock.core.job import Dedup, NewJob
from penstock.core.memo import window_id
from penstock.core.states import State
from penstock.errors import StoreUnavailable
from penstock.stores.mongodb_clock import ServerClock

_WAITING = [State.READY.value, State.DELAYED.value, State.PARKED.value]
#: Looks at a key whose holder changes each time, at most, and the pause before another look at one that somebody is about to store.
_TRIES = 20
_PAUSE = 0.1
_GRACE = 60.0


class Keys:
    """Who holds them.

    Parameters:
        stored: is told a job that has taken another's place.
    """

    def __init__(
        self, layout: Layout, clock: ServerClock, stored: Callable[[NewJob, ClientSession | None], None]
    ) -> None:
        self._layout = layout
        self._clock = clock
        self._stored = stored

    def settle(self, job: NewJob, now: float, session: ClientSession | None) -> NewJob | bytes:
        """See to the key of a new job; returns what is to be stored, or the id that stands for it."""
        dedup, key = job.dedup, job.unique
        if dedup is None or key is None:
            return job
        job = replace(job, dedup=None)
        if dedup.window is not None:
            holder = self._hold(window_id(key), job.id, now, dedup.window, session)
            return replace(job, unique=None) if holder == job.id else holder
        for _ in range(_TRIES):
            chosen = {"unique": key}
            found = self._layout.jobs.find_one(chosen, {"state": 1}, hint="unique", session=session)
            if found is None or found["_id"] == job.id:
                return job
            stands = self._make_way(found["_id"], found["state"], job, dedup, now, session)
            if stands is not None:
                return stands
        return job

    def _make_way(
        self, holder: bytes, state: str, job: NewJob, dedup: Dedup, now: float, session: ClientSession | None
    ) -> NewJob | bytes | None:
        """What follows from a holder in a state; None where that is not so any more."""
        jobs, its = self._layout.jobs, {"_id": holder, "unique": job.unique, "state": state}
        if state == State.RUNNING.value:
            if dedup.started and not jobs.update_one(its, {"$unset": {"unique": 1}}, session=session).matched_count:
                return None
            return job
        if not dedup.replace or state not in _WAITING:
            return job
        heir = replace(job, id=holder)
        # A claim that read the job that was there must read this one.
        born = {**document(heir, self._layout.next_places(1), now), HAD: 0}
        if not jobs.replace_one({**its, "mark": None}, born, session=session).matched_count:
            return None
        self._stored(heir, session)
        return holder

    def _hold(self, id: bytes, job: bytes, now: float, window: float, session: ClientSession | None) -> bytes:
        """Hold a key for a time; returns who does."""
        results = self._layout.results
        gone = datetime.fromtimestamp(self._clock.now() + window + _GRACE, UTC)
        mine = {"value": job, "expires": now + window, "gone": gone, "pending": True}
        for tries in range(_TRIES):
            found = results.find_one({"_id": id}, session=session)
            if found is not None and found["expires"] > now and found["value"] != job:
                if not found.get("pending") or self._is_stored(found["value"], session):
                    return bytes(found["value"])
                if tries + 1 < _TRIES:
                    # Somebody is about to store it, or has died over it.
                    time.sleep(_PAUSE)
                    continue
            try:
                if found is None:
                    results.insert_one({"_id": id, **mine}, session=session)
                    break
                read = {"_id": id, "value": found["value"], "expires": found["expires"]}
                if results.update_one(read, {"$set": mine}, session=session).matched_count:
                    break
            except DuplicateKeyError:
                if session is not None:
                    raise
        else:
            raise StoreUnavailable("others kept storing jobs of the same unique key: try again")
        return job

    def _is_stored(self, job: bytes, session: ClientSession | None) -> bool:
        return self._layout.jobs.find_one({"_id": job}, {"_id": 1}, session=session) is not None

    def settled(self, job: NewJob, session: ClientSession | None) -> None:
        """A job that holds a key for a time is stored."""
        if job.dedup is not None and job.dedup.window is not None and job.unique is not None:
            mine = {"_id": window_id(job.unique), "value": job.id}
            self._layout.results.update_one(mine, {"$unset": {"pending": 1}}, session=session)
