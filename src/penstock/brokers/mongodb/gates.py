"""The gates of a MongoDB queue: what is limited, which lines are due, and claims under the locks of gates.

A gate is a document. Whoever claims from behind it locks it first, for a few round trips; whoever dies meanwhile holds it for
`_LOCKED` seconds. How many run is counted from the jobs themselves, so that no place is ever lost.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec
import pymongo
from pymongo import UpdateOne
from pymongo.errors import DuplicateKeyError

from penstock.brokers.mongodb.layout import Layout
from penstock.core import limiter
from penstock.core.job import Lease, NewJob
from penstock.core.limiter import Limit, OpenGate
from penstock.core.outcome import AGAIN, Ending, Outcome
from penstock.core.standing import GateState, gate_state
from penstock.stores.mongodb import Document
from penstock.stores.mongodb_clock import ServerClock

#: Lines that one claim looks at.
_LINES = 32
#: Seconds for which a store where nothing is limited is taken to stay so.
_UNLIMITED = 1.0
#: Seconds until a line is looked at again that was empty, for what was added to it by somebody who died before saying so.
_EMPTY = 5.0
#: The same while a transaction of a user's may yet add to it, and for how long that may be.
_SOON = 0.25
_TRANSACTION = 60.0
#: Seconds after which the lock of somebody who is gone is void, and what its owner gives up by itself before.
_LOCKED = 5.0
_GIVES_UP = 2.0
_LOOK_AGAIN = 0.003
#: Seconds after which a line that stays empty is forgotten.
_FORGOTTEN = 60.0

#: Takes up to so many jobs of a stored queue name.
Take = Callable[[str, int], list[Lease]]


class Source(NamedTuple):
    """Where a claim may take from: a queue, or a line of it that has been empty since a time or is not known to be."""

    name: str
    queue: str
    gate: str | None
    idle: float | None = None
    keep: float = 0.0
    news: int | None = None


class Gates:
    """What one connection knows of limits."""

    def __init__(self, layout: Layout, clock: ServerClock) -> None:
        # What gets lost here with a server costs a job its pace, and no job is lost: no disk is waited for.
        quick = layout.unhurried
        self._jobs = layout.jobs
        self._limits_of = quick.limits
        self._gates = quick.gates
        self._lines = quick.lines
        self._clock = clock
        self._turn = 0
        self._ask_at = 0.0
        self._maybe = False
        self._looked_at = 0.0
        #: Every limit there is, as of the last look.
        self._limits: dict[str, Limit] = {}

    def may_limit(self) -> bool:
        """May anything be limited? Asked of the store about once a second."""
        moment = time.monotonic()
        if moment >= self._ask_at:
            self._ask_at = moment + _UNLIMITED
            self._look()
            self._maybe = bool(self._limits) or self._lines.find_one({}, {"_id": 1}) is not None
        return self._maybe

    def _look(self) -> dict[str, Limit]:
        found = self._limits_of.find({})
        self._limits = {one["_id"]: msgspec.msgpack.decode(one["terms"], type=Limit) for one in found}
        return self._limits

    def declare(self, limits: Mapping[str, Limit | None]) -> bool:
        """Set limits, and lift those that are None; returns whether that changed any."""
        known = self._look()
        # The order of jobs is kept by their gates' names: what is ordered has no other limit.
        wanted = {name: None if limit is None or limit.ordered else limit for name, limit in limits.items()}
        changed = {name: limit for name, limit in wanted.items() if known.get(name) != limit}
        for name, limit in changed.items():
            # A limit that has changed starts anew: what was paid for by the old one says nothing.
            old = {"$or": [{"_id": name}, {"_id": {"$gte": f"{name},", "$lt": f"{name}-"}}]}
            self._gates.update_many(old, {"$set": {"paid_until": 0.0}})
            if limit is None:
                self._limits_of.delete_one({"_id": name})
            else:
                self._limits_of.update_one(
                    {"_id": name}, {"$set": {"terms": msgspec.msgpack.encode(limit)}}, upsert=True
                )
        if changed:
            self._lines.update_many({}, {"$set": {"due": 0.0}})
            self._ask_at = 0.0
        return bool(changed)

    def limited(self, job: NewJob) -> NewJob:
        """A job that somebody asked for who knows no gates, before the gate of its task where that has a limit."""
        if job.gate is None and self.may_limit() and job.task in self._limits:
            return msgspec.structs.replace(job, gate=limiter.gate(job.task))
        return job

    def expect(self, lines: Sequence[str], *, within: bool = False) -> None:
        """Jobs are about to be stored in these lines; `within` a transaction, which may end much later."""
        if not lines:
            return
        self._maybe = True
        kept = {"$set": {"keep": self._clock.now() + _TRANSACTION}} if within else {}
        self._lines.bulk_write([UpdateOne({"_id": name}, _known(name) | kept, upsert=True) for name in lines])

    def open(self, lines: Iterable[str], when: float = 0.0) -> None:
        """Jobs of these lines are ready; `when` puts them behind those that have waited longer."""
        known = ((name, limiter.gate_of(name)) for name in dict.fromkeys(lines))
        wanted = [name for name, gate in known if gate is not None and not limiter.is_ordered(gate)]
        if wanted:
            self._maybe = True
            update = {"$set": {"due": when}, "$inc": {"news": 1}}
            self._lines.bulk_write([UpdateOne({"_id": name}, _known(name) | update, upsert=True) for name in wanted])

    def freed(self, leases: Iterable[Lease], when: float = 0.0) -> None:
        """Places have become free: look again at what is before the same gates."""
        gates, queues = set[str](), set[str]()
        for lease in leases:
            for gate in self._passed_by(lease):
                (queues.add(lease.queue) if gate.startswith(",") else gates.add(gate))
        if gates:
            self._lines.update_many({"gate": {"$in": sorted(gates)}, "due": {"$gt": when}}, {"$set": {"due": when}})
        if queues:
            self._lines.update_many({"queue": {"$in": sorted(queues)}, "due": {"$gt": when}}, {"$set": {"due": when}})

    def freed_by(self, names: Iterable[str]) -> None:
        """The same, by the stored queue names of jobs that are ready again or have ended."""
        if not self.may_limit():
            return
        known = list(names)
        self.open(known)
        self.freed(Lease(b"", 0, 0, "", b"", limiter.queue_of(name), gate=limiter.gate_of(name)) for name in known)

    def ended(self, outcomes: Sequence[Outcome], now: float) -> None:
        """Jobs have ended, or came back. Those that did not run at all are not counted against their rate."""
        any_limits = bool(self._limits)
        limited = [
            outcome
            for outcome in outcomes
            if outcome.lease.gate is not None or (any_limits and self._passed_by(outcome.lease))
        ]
        if not limited:
            return
        refunds: dict[str, float] = {}
        for outcome in limited:
            for gate in self._passed_by(outcome.lease) if outcome.ending is Ending.RELEASED else ():
                limit = self._limits.get(limiter.limit_name(gate))
                if limit is not None and limit.every is not None:
                    refunds[gate] = refunds.get(gate, 0.0) + limit.every
        if refunds:
            back = [UpdateOne({"_id": gate}, {"$inc": {"paid_until": -seconds}}) for gate, seconds in refunds.items()]
            self._gates.bulk_write(back)
        self.open((_line(one.lease) for one in limited if one.ending in AGAIN and one.delay <= 0), now)
        self.freed((outcome.lease for outcome in limited), now)

    def _passed_by(self, lease: Lease) -> list[str]:
        own = [] if lease.gate is None or limiter.is_ordered(lease.gate) else [lease.gate]
        return [*own, limiter.queue_gate(lease.queue)] if limiter.queue_gate(lease.queue) in self._limits else own

    def claim(self, queues: Sequence[str], most: int, now: float, take: Take) -> list[Lease] | None:
        """Take from queues and their lines what may start; None where nothing concerns these queues."""
        self._look()
        due = self._lines.find({"queue": {"$in": list(queues)}, "due": {"$lte": now}}).sort("due", 1).limit(_LINES)
        lines = [_source(one) for one in due if one["_id"] != one["queue"]]
        if not lines and not any(limiter.queue_gate(queue) in self._limits for queue in queues):
            return None
        plain = [Source(queue, queue, None) for queue in queues]
        self._turn += 1
        taken: list[Lease] = []
        for source in [*lines, *plain] if self._turn % 2 == 0 else [*plain, *lines]:
            if len(taken) >= most:
                break
            taken += self._take(source, most - len(taken), now, take)
        return taken

    def _take(self, source: Source, most: int, now: float, take: Take) -> list[Lease]:
        own = [] if source.gate is None else [source.gate]
        names = [*own, limiter.queue_gate(source.queue)]
        limits = {name: limit for name in names if (limit := self._limits.get(limiter.limit_name(name))) is not None}
        if not limits:
            rows = take(source.name, most)
            if source.gate is not None:
                self._note(source, now, empty=len(rows) < most, closed=now, now=now)
            return rows
        with self._locked(limits, now) as gates:
            allowed = min([most, *(gate.room(now) for gate in gates.values())])
            rows = take(source.name, allowed) if allowed > 0 else []
            for gate in gates.values():
                gate.passed(len(rows), now)
            closed = max(gate.closed_until(now) for gate in gates.values())
            self._note(source, now, empty=len(rows) < allowed, closed=closed, now=now)
        return rows

    def _note(self, source: Source, since: float, *, empty: bool, closed: float, now: float) -> None:
        """Note when to look at a source again; a queue that is open is looked at anyway."""
        if source.gate is None:
            if empty or closed <= now:
                self._lines.delete_one({"_id": source.name})
            else:
                note = {"queue": source.queue, "gate": limiter.queue_gate(source.queue), "due": closed}
                self._lines.update_one({"_id": source.name}, {"$set": note}, upsert=True)
        elif not empty:
            self._lines.update_one({"_id": source.name}, {"$set": {"due": closed}, "$unset": {"idle": 1}})
        else:
            idle = since if source.idle is None else source.idle
            again = _SOON if source.keep > self._clock.now() else _EMPTY + 4 * max(0.0, now - idle)
            # What was stored since, and was not seen, is not to wait.
            unchanged = {"_id": source.name, "news": source.news}
            self._lines.update_one(unchanged, {"$set": {"due": now + again, "idle": idle}})

    @contextmanager
    def _locked(self, limits: Mapping[str, Limit], now: float) -> Iterator[dict[str, OpenGate]]:
        """Have gates for oneself; what has passed them is written as they are let go."""
        token = secrets.token_hex(8)
        gates: dict[str, OpenGate] = {}
        try:
            for name in sorted(limits):
                found = self._lock(name, token)
                running = self._running(name) if limits[name].concurrency is not None else 0
                gates[name] = OpenGate(limits[name], float(found.get("paid_until", 0.0)), running, now)
            with pymongo.timeout(_GIVES_UP):
                yield gates
        finally:
            for name, gate in gates.items():
                free = {"$set": {"paid_until": gate.paid_until}, "$unset": {"until": 1, "token": 1}}
                self._gates.update_one({"_id": name, "token": token}, free)

    def _lock(self, name: str, token: str) -> Document:
        while True:
            moment = self._clock.now()
            free = {"_id": name, "$or": [{"until": None}, {"until": {"$lt": moment}}, {"until": {"$gt": moment + 60}}]}
            mine = {"$set": {"until": moment + _LOCKED, "token": token}}
            try:
                found = self._gates.find_one_and_update(free, mine, upsert=True, return_document=True)
            except DuplicateKeyError:
                # Somebody else has it, for a few round trips.
                time.sleep(_LOOK_AGAIN)
            else:
                assert found is not None
                return found

    def states(self, names: Iterable[str | None], now: float) -> tuple[GateState, ...]:
        """How gates stand at which a limit holds."""
        limits = self._look()
        known = {name: limit for name in names if name and (limit := limits.get(limiter.limit_name(name))) is not None}
        return tuple(gate_state(name, self._seen(name, limit, now), now) for name, limit in known.items())

    def _seen(self, name: str, limit: Limit, now: float) -> OpenGate:
        found = self._gates.find_one({"_id": name}) or {}
        running = self._running(name) if limit.concurrency is not None else 0
        return OpenGate(limit, float(found.get("paid_until", 0.0)), running, now)

    def _running(self, gate: str) -> int:
        if not gate.startswith(","):
            return self._jobs.count_documents({"gate": gate, "worker": {"$gte": ""}}, hint="gate")
        return self._jobs.count_documents({**of_queue(gate[1:]), "worker": {"$gte": ""}}, hint="held")

    def names(self, queues: Sequence[str], now: float, most: int) -> list[str]:
        """Under which names jobs of some queues are ready that may start: the queues and their lines, but for what is closed."""
        if not self.may_limit():
            return list(queues)
        closed = {
            one["_id"] for one in self._lines.find({"_id": {"$in": list(queues)}, "due": {"$gt": now}}, {"_id": 1})
        }
        due = self._lines.find({"queue": {"$in": list(queues)}, "due": {"$lte": now}}, {"queue": 1}).limit(most)
        lines = [one["_id"] for one in due if one["_id"] != one["queue"]]
        return [*(queue for queue in queues if queue not in closed), *lines]

    def look(self, now: float) -> tuple[float | None, bool]:
        """In how many seconds to look at the gates again, if ever; and whether any has opened since the last look."""
        if not self.may_limit():
            return None, False
        if now < self._looked_at:
            # The clock was set back: what was noted for later would be long in coming.
            self._lines.update_many({}, {"$set": {"due": 0.0}})
            self._looked_at = -1.0
        following = self._lines.find_one({"due": {"$gt": now}}, {"due": 1}, sort=[("due", 1)])
        latest = self._lines.find_one({"due": {"$lte": now}}, {"due": 1}, sort=[("due", -1)])
        fell_due = latest is not None and latest["due"] > self._looked_at
        self._looked_at = now
        next_in = None if following is None else following["due"] - now
        return limiter.look_again(next_in, fell_due=fell_due, is_due=latest is not None), fell_due

    def prune(self, now: float) -> None:
        """Forget lines that stay empty, and gates at which all is paid for."""
        for one in self._lines.find({"idle": {"$lt": now - _FORGOTTEN}}, {"idle": 1}).to_list():
            if self._jobs.find_one({"queue": one["_id"], "place": {"$gte": 0}}, {"_id": 1}, hint="ready") is None:
                self._lines.delete_one({"_id": one["_id"], "idle": one["idle"]})
        self._gates.delete_many({"paid_until": {"$lt": now - _FORGOTTEN}, "until": None})


def _known(name: str) -> dict[str, Any]:
    """The update by which a line is known, and not taken for empty."""
    line = {"queue": limiter.queue_of(name), "gate": limiter.gate_of(name)}
    return {"$setOnInsert": line, "$unset": {"idle": 1}}


def _source(found: Document) -> Source:
    return Source(
        found["_id"], found["queue"], found["gate"], found.get("idle"), found.get("keep", 0.0), found.get("news")
    )


def _line(lease: Lease) -> str:
    return limiter.line(lease.queue, lease.gate)


def lines_of(jobs: Iterable[NewJob]) -> list[str]:
    """The lines that jobs wait in, but for those that keep an order, which are listed nowhere."""
    limited = (job for job in jobs if job.gate is not None and not limiter.is_ordered(job.gate))
    return list(dict.fromkeys(limiter.line(job.queue, job.gate) for job in limited))


def of_queue(queue: str) -> dict[str, Any]:
    """The filter of a queue's jobs, with those of its lines."""
    return {"$or": [{"queue": queue}, {"queue": {"$gte": f",{queue},", "$lt": f",{queue}-"}}]}
