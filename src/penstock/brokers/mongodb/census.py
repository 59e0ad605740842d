"""Counting the jobs of a MongoDB queue, in a time that does not grow as they do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from pymongo.client_session import ClientSession

from penstock.brokers.inspect import QueueCounts
from penstock.brokers.mongodb.layout import Layout
from penstock.brokers.tally import Tally
from penstock.core.limiter import queue_of

#: By which index the jobs of a state are counted, and the field that only they have.
_COUNTED = {
    "ready": ("ready", "place"),
    "running": ("held", "worker"),
    "delayed": ("due", "due"),
    "parked": ("parked", "parked"),
    "waiting": ("waits", "waits"),
    "dead": ("ended", "ended"),
}
#: Jobs in a sample, which MongoDB takes from random places: at most 2 % off.
_SAMPLED = 2000


class Census:
    """One count.

    Each state is counted by its index, up to a limit, in the ready set queue by queue. Where there are more, the server's own number of documents says
    how many there are in all, and a sample which part of them it is.

    Parameters:
        session: reads that see one moment, or None.
        most: see `Inspector.count`.
    """

    def __init__(self, layout: Layout, session: ClientSession | None, most: int | None) -> None:
        self._jobs = layout.jobs
        self._session = session
        self._most = most
        self._tally = Tally()

    def queues(self) -> Sequence[QueueCounts]:
        """See `Inspector.count`."""
        for state in _COUNTED:
            rows = list(self._count(state))
            if self._most is None or sum(count for _, count in rows) < self._most:
                for line, count in rows:
                    self._tally.add(line, state, count)
            elif state == "ready":
                self._count_ready(self._most)
            else:
                self._estimate(state, [queue_of(line) for line, _ in rows])
        return self._tally.queues()

    def _count_ready(self, most: int) -> None:
        long = []
        for queue in dict.fromkeys(self._ready_queues()):
            lines = {"$gte": f",{queue},", "$lt": f",{queue}-"}
            count = sum(count for only in (queue, lines) for _, count in self._count("ready", {"queue": only}))
            if count < most:
                self._tally.add(queue, "ready", count)
            else:
                long.append(queue)
        self._estimate("ready", long, others=False)

    def _estimate(self, state: str, queues: Sequence[str], *, others: bool = True) -> None:
        """Take what the sample says of these queues, and of `others` that it has."""
        found = self._sample[state]
        for queue in dict.fromkeys([*queues, *(found if others else ())]):
            self._tally.add(queue, state, found.get(queue, 0), about=True)

    def _ready_queues(self) -> Iterator[str]:
        after = ""
        while True:
            beyond = {"queue": {"$gt": after}, "place": {"$gte": -1}}
            found = self._jobs.find_one(beyond, {"queue": 1}, sort=[("queue", 1)], hint="ready", session=self._session)
            if found is None:
                return
            queue = queue_of(found["queue"])
            # All of a queue's lines begin with its name and a comma, and come before this one.
            after = queue if found["queue"] == queue else f",{queue}-"
            yield queue

    def _count(self, state: str, only: Mapping[str, Any] | None = None) -> Iterator[tuple[str, int]]:
        index, field = _COUNTED[state]
        chosen: dict[str, Any] = {field: {"$gte": "" if field in {"worker", "parked", "waits"} else -1}}
        if state == "dead":
            chosen = {"state": state, "ended": {"$exists": True}}
        stages: list[Mapping[str, Any]] = [
            {"$match": {**chosen, **(only or {})}},
            *([] if self._most is None else [{"$limit": self._most}]),
            {"$group": {"_id": "$queue", "count": {"$sum": 1}}},
        ]
        for found in self._jobs.aggregate(stages, session=self._session, hint=index):
            yield found["_id"], found["count"]

    @cached_property
    def _sample(self) -> Mapping[str, Mapping[str, int]]:
        """Of each state, about how many jobs of each queue there are."""
        seen, read = defaultdict[tuple[str, str], int](int), 0
        fields = {"queue": 1, "state": 1, **dict.fromkeys((field for _, field in _COUNTED.values()), 1)}
        for one in self._jobs.aggregate([{"$sample": {"size": _SAMPLED}}, {"$project": fields}]):
            read += 1
            for state, (_, field) in _COUNTED.items():
                if field in one and (state != "dead" or one["state"] == state):
                    seen[state, queue_of(one["queue"])] += 1
        total = self._jobs.estimated_document_count()
        found = defaultdict[str, dict[str, int]](dict)
        for (state, queue), count in seen.items():
            found[state][queue] = round(total * count / read)
        return found
