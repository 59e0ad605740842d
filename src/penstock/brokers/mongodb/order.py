"""Order per key in a MongoDB queue: who holds which line, and the runs that a claim takes.

A line is held by a document with its name, which a claim inserts before it marks any job and deletes when all of them have ended. Whoever dies over it
leaves it to whoever buries him. A job that was marked by somebody who was too slow, and buried meanwhile, is given back before anybody runs it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from pymongo.client_session import ClientSession
from pymongo.errors import BulkWriteError

from penstock.brokers.base import Backlog
from penstock.brokers.mongodb.documents import to_its_place
from penstock.brokers.mongodb.layout import Layout
from penstock.core import limiter
from penstock.core.job import Holder, Lease, NewJob
from penstock.core.limiter import Limit
from penstock.core.shipment import MovedJob
from penstock.stores.mongodb import Document

#: Seconds for which a store where no job keeps an order is taken to stay so.
_NONE = 1.0
#: Entries of a line that can't go on which are read before the next line is asked for.
_TAIL = 20
#: Lines that one claim looks at in vain, at most.
_IN_VAIN = 1000
#: Seconds after which a line that is held, with none of its jobs running, has been forgotten by a server that died.
_FORGOTTEN = 60.0
_DUPLICATE = 11000

#: The name of a line, and the ids of the jobs at its head that may be taken.
Run = tuple[str, list[bytes]]


class Order:
    """What one connection knows of lines that keep their order."""

    def __init__(self, layout: Layout) -> None:
        self._jobs = layout.jobs
        self._holds = layout.holds
        self._ask_at = 0.0
        self._maybe = False
        self._own = False
        self._after: dict[str, str] = {}
        #: Lines to let go of, by the claim, until it is known that it is done.
        self._ended: dict[int, set[str]] = {}

    def declared(self, limits: Iterable[Limit | None]) -> None:
        """Tasks of this worker have these limits."""
        self._own = self._own or any(limit is not None and limit.ordered for limit in limits)

    def met(self, jobs: Iterable[NewJob | MovedJob]) -> None:
        """Jobs are stored."""
        self._maybe = self._maybe or any(limiter.is_ordered(job.gate) for job in jobs)

    def may_keep(self) -> bool:
        """May any job keep an order? Asked of the store about once a second."""
        moment = time.monotonic()
        if not self._own and moment >= self._ask_at:
            self._ask_at = moment + _NONE
            self._maybe = self._jobs.find_one({"turn": {"$gte": 0}}, {"_id": 1}, hint="order") is not None
        return self._own or self._maybe

    def runs(self, queue: str, most: int) -> list[Run]:
        """The jobs that may be taken from a queue's lines, beginning after where the last call ended, and once around."""
        begin, end = limiter.line(queue, limiter.gate("", ordered=True)), f",{queue},>"
        after = self._after.get(queue, begin)
        found: list[Run] = []
        # The second time up to and with the line where the first began.
        for above, below in ((after, {"$lt": end}), (begin, {"$lte": after})):
            if above == begin and below == {"$lte": begin}:
                break
            for name, ids in self._walk({"$gt": above, **below}, most):
                self._after[queue] = name
                found.append((name, ids[:most]))
                most -= len(ids)
                if most <= 0:
                    return found
        self._after[queue] = begin
        return found

    def _walk(self, names: Mapping[str, str], most: int) -> Iterator[Run]:
        vain = 0
        while vain <= _IN_VAIN:
            last = None
            entries = self._entries(dict(names), most + _TAIL)
            for name, group in groupby(entries, key=_queue):
                last = name
                ids, tail = _head(group)
                if ids:
                    yield name, ids
                else:
                    vain += 1
                if tail > _TAIL or vain > _IN_VAIN:
                    break
            else:
                return
            names = {**names, "$gt": last}

    def _entries(self, names: Mapping[str, object], most: int) -> Iterator[Document]:
        """The jobs of lines in their order, of whatever state: nothing but the index is read."""
        chosen = {"queue": names, "turn": {"$gte": 0}}
        fields = {"queue": 1, "turn": 1, "place": 1}
        found = self._jobs.find(chosen, fields).hint("order").sort([("queue", 1), ("turn", 1), ("_id", 1)])
        return iter(found.batch_size(most + 1))

    def hold(self, names: Sequence[str], claim: int, holder: Holder, now: float) -> list[str]:
        """Hold lines, but for those that another holds; returns which."""
        mine = {"worker": holder.worker, "process": holder.process, "claim": claim, "at": now}
        try:
            self._holds.insert_many([{"_id": name, **mine} for name in names], ordered=False)
        except BulkWriteError as error:
            wrong = error.details.get("writeErrors", [])
            if error.details.get("writeConcernErrors") or any(one["code"] != _DUPLICATE for one in wrong):
                raise
            taken = {one["index"] for one in wrong}
            return [name for number, name in enumerate(names) if number not in taken]
        return list(names)

    def heads(self, names: Sequence[str], most: int) -> dict[str, list[bytes]]:
        """The jobs that may be taken from lines which are held."""
        found: dict[str, list[bytes]] = {}
        if not names:
            return found
        for name, group in groupby(self._entries({"$in": list(names)}, most), key=_queue):
            ids, _ = _head(group)
            if ids:
                found[name] = ids[:most]
                most -= len(ids)
            if most <= 0:
                break
        return found

    def keep(
        self, taken: Sequence[Lease], chosen: Mapping[str, list[bytes]], names: Sequence[str], claim: int
    ) -> list[Lease]:
        """Of the jobs that were marked, those that nobody can come between; the others are given back.

        Parameters:
            chosen: what was to be marked of each line, in its order.
            names: the lines that are held for the claim.
        """
        marked = {lease.id: lease for lease in taken}
        still = {one["_id"] for one in self._holds.find({"_id": {"$in": list(names)}, "claim": claim}, {"_id": 1})}
        kept: list[Lease] = []
        for name, ids in chosen.items():
            for id in ids if name in still else ():
                if id not in marked:
                    break
                kept.append(marked.pop(id))
        if marked:
            self._jobs.update_many({"_id": {"$in": list(marked)}, "claim": claim}, to_its_place(), hint="_id_")
        used = {limiter.line(lease.queue, lease.gate) for lease in kept}
        self._release(claim, [name for name in names if name not in used])
        return kept

    def forget(self, claim: int) -> None:
        """A claim holds nothing any more."""
        self._holds.delete_many({"claim": claim})

    def _release(self, claim: int, names: Sequence[str], session: ClientSession | None = None) -> None:
        if names:
            self._holds.delete_many({"_id": {"$in": list(names)}, "claim": claim}, session=session)

    def ended(self, leases: Iterable[Lease], session: ClientSession | None = None) -> None:
        """Jobs have ended or came back: let go of the lines of which their claim holds nothing any more."""
        ended: dict[int, set[str]] = {}
        for lease in leases:
            if lease.gate is not None and limiter.is_ordered(lease.gate):
                ended.setdefault(lease.claim, set()).add(limiter.line(lease.queue, lease.gate))
        if session is not None:
            self._let_go(ended, session)
            return
        for claim, names in ended.items():
            self._ended.setdefault(claim, set()).update(names)
        self.settle()

    def settle(self) -> None:
        """Let go of what has ended, and was not heard to be let go."""
        if self._ended:
            self._let_go(self._ended, None)
            self._ended = {}

    def _let_go(self, ended: Mapping[int, set[str]], session: ClientSession | None) -> None:
        if not ended:
            return
        running = self._running({name for names in ended.values() for name in names}, session)
        for claim, names in ended.items():
            self._release(claim, sorted(name for name in names if (name, claim) not in running), session)

    def _running(self, names: Iterable[str], session: ClientSession | None = None) -> set[tuple[str, int]]:
        """Which of these lines have a job that runs, and by which claims."""
        gates = sorted({limiter.gate_of(name) or "" for name in names})
        chosen = {"gate": {"$in": gates}, "worker": {"$gte": ""}}
        found = self._jobs.find(chosen, {"queue": 1, "claim": 1}, session=session).hint("gate")
        return {(one["queue"], one["claim"]) for one in found}

    def backlog(self, queues: Iterable[str], now: float, most: int, others: Backlog) -> Backlog:
        """What waits in these queues and may start, with `others` that keep no order."""
        ready, waited = others.ready, others.waited
        for queue in queues if self.may_keep() else ():
            begin, end = limiter.line(queue, limiter.gate("", ordered=True)), f",{queue},>"
            first: bytes | None = None
            for _, ids in self._walk({"$gt": begin, "$lt": end}, min(most, _IN_VAIN)):
                first = first or ids[0]
                ready += len(ids)
                if ready >= most:
                    break
            found = None if first is None else self._jobs.find_one({"_id": first}, {"since": 1, "created": 1})
            if found is not None:
                waited = max(waited, now - float(found["since"] if "since" in found else found["created"]))
        return Backlog(min(ready, most), waited)

    def bury(self, held: Mapping[str, object]) -> None:
        """Let go of what a dead process or worker held, after its jobs have been given back."""
        self._holds.delete_many(dict(held))

    def prune(self, now: float) -> None:
        """Let go of lines that somebody has held for long, and of which none of his jobs runs."""
        old = self._holds.find({"at": {"$lt": now - _FORGOTTEN}}, {"claim": 1}).limit(_IN_VAIN).to_list()
        if old:
            running = self._running(one["_id"] for one in old)
            for one in old:
                if (one["_id"], one["claim"]) not in running:
                    self._release(one["claim"], [one["_id"]])


def _queue(entry: Document) -> str:
    return str(entry["queue"])


def _head(entries: Iterable[Document]) -> tuple[list[bytes], int]:
    """The ids of the jobs at the head of a line that may be taken, and how many more of the line were read."""
    ids: list[bytes] = []
    tail = 0
    for entry in entries:
        if tail or entry.get("place") is None:
            tail += 1
            if tail > _TAIL:
                break
        else:
            ids.append(entry["_id"])
    return ids, tail
