"""Counting the jobs of a SQLite queue, in a time that does not grow as they do."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property

from penstock.brokers.inspect import QueueCounts
from penstock.brokers.tally import Tally
from penstock.core.limiter import queue_of
from penstock.stores.statements import Statements

#: In the order of `count_totals`.
_STATES = ("ready", "running", "delayed", "parked", "waiting", "dead")
#: A sample is taken in so many places, and is of so many jobs in each: 50 ms on a file of ten million.
_PLACES, _EACH = 500, 20


class Census:
    """One count.

    How many jobs of all queues are in a state is exact, always: SQLite has it from the pages of a table, at 10 ns a job. Which
    queues they are of takes a look at each. In the ready set, whose key begins with the queue, the short queues are counted, and what is
    left is of the long one. Where there are several of these, or in another state, a sample of all jobs shares them out.

    Parameters:
        most: see `Inspector.count`.
    """

    def __init__(self, connection: sqlite3.Connection, sql: Statements, most: int | None) -> None:
        self._connection = connection
        self._sql = sql
        self._most = most
        self._tally = Tally()

    def queues(self) -> Sequence[QueueCounts]:
        """See `Inspector.count`."""
        totals = self._connection.execute(self._sql["count_totals"]).fetchone()
        for state, total in zip(_STATES, totals, strict=True):
            if self._most is None or total <= self._most:
                self._count(state)
            elif state == "ready":
                self._count_ready(total, self._most)
            elif self._sample[state]:
                self._tally.share(state, total, self._sample[state])
            else:
                self._count(state)
        return self._tally.queues()

    def _count(self, state: str) -> None:
        for line, count in self._connection.execute(self._sql[f"count_{state}"]):
            self._tally.add(line, state, count)

    def _count_ready(self, total: int, most: int) -> None:
        if self._connection.execute(self._sql["order_any"]).fetchone()[0]:
            # Those behind the first of a key that keeps its order are on no list.
            self._tally.share("ready", total, self._sample["ready"] or dict.fromkeys(self._ready_queues(), 1.0))
            return
        counts = {
            queue: self._connection.execute(self._sql["count_some"], (queue, most)).fetchone()[0]
            for queue in self._ready_queues()
        }
        for queue, count in counts.items():
            if count < most:
                self._tally.add(queue, "ready", count)
                total -= count
        long = [queue for queue, count in counts.items() if count >= most]
        if len(long) == 1:
            self._tally.add(long[0], "ready", max(total, most))
            return
        shares = dict.fromkeys(long, 1.0)
        for line, weight in self._sample["ready"].items():
            if queue_of(line) in shares:
                shares[queue_of(line)] += weight
        self._tally.share("ready", total, shares)

    def _ready_queues(self) -> list[str]:
        found, after = list[str](), ""
        while (row := self._connection.execute(self._sql["count_next"], (after,)).fetchone()) is not None:
            queue = queue_of(row[0])
            # All of a queue's lines begin with its name and a comma, and come before this one.
            after = queue if row[0] == queue else f",{queue}-"
            found.append(queue)
        # A queue comes by its own name and by its lines.
        return list(dict.fromkeys(found))

    @cached_property
    def _sample(self) -> Mapping[str, Mapping[str, float]]:
        """Of each state, how many jobs of each line there are by a sample: the first of each of many stretches, as dense as these are."""
        found = defaultdict[str, dict[str, float]](dict)
        first, last = self._connection.execute(self._sql["count_ends"]).fetchone()
        if first is None:
            return found
        stretch = max(_EACH, -(-(last - first + 1) // _PLACES))
        for start in range(first, last + 1, stretch):
            rows = self._connection.execute(self._sql["count_sample"], (start, start + stretch, _EACH)).fetchall()
            weight = 1.0 if len(rows) < _EACH else stretch / (rows[-1][0] - start + 1)
            for _, line, state in rows:
                found[state][line] = found[state].get(line, 0.0) + weight
        return found
