"""Counting the jobs of a PostgreSQL queue, in a time that does not grow as they do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property

from psycopg.rows import TupleRow

from penstock.brokers.inspect import QueueCounts
from penstock.brokers.postgres.link import Link, Session
from penstock.brokers.tally import Tally
from penstock.core.limiter import queue_of
from penstock.core.states import State

#: state -> (its number in the table, whether a claim holds the job, where that makes a difference).
STATES: dict[State, tuple[int, bool | None]] = {
    State.WAITING: (-1, None),
    State.READY: (0, False),
    State.RUNNING: (0, True),
    State.DELAYED: (1, None),
    State.PARKED: (2, None),
    State.DEAD: (3, None),
    State.CANCELLED: (4, None),
}
#: A page of the table has at most so many jobs: 27 of the smallest were seen.
_ON_A_PAGE = 30
#: Pages that a sample is of: 40 ms, and 2 % off.
_SAMPLED = 3000
#: Pages that one statement reads, at most: 512 MB, so that each is answered in time however large the table is.
_AT_ONCE = 65_536


def state_of(number: int, held: bool) -> State:
    """The state of a job's row."""
    if number == 0:
        return State.RUNNING if held else State.READY
    return next(state for state, (its, _) in STATES.items() if its == number)


class Census:
    """One count.

    A small table is read whole, and a large one part by part where each job is to be counted. Otherwise each state is counted there by its index, up to a
    limit, in the ready set queue by queue; where there are more, a sample of the table's pages says how many.

    Parameters:
        most: see `Inspector.count`.
    """

    def __init__(self, link: Link, most: int | None) -> None:
        self._link = link
        self._most = most
        self._tally = Tally()

    def queues(self) -> Sequence[QueueCounts]:
        """See `Inspector.count`."""
        pages = self._pages(self._link)
        if pages <= _AT_ONCE if self._most is None else pages * _ON_A_PAGE <= self._most:
            self._add(self._link.run("count"))
        elif self._most is None:
            with self._link.transaction() as session:
                session.run("count_snapshot")
                for first in range(0, self._pages(session), _AT_ONCE):
                    self._add(session.run("count_range", first=f"({first},0)", last=f"({first + _AT_ONCE},0)"))
        else:
            with self._link.transaction() as session:
                session.run("count_plans")
                _Parts(session, self._most, self._tally).count()
        return self._tally.queues()

    def _pages(self, session: Link | Session) -> int:
        return int(session.run("count_pages")[0][0])

    def _add(self, rows: Sequence[TupleRow]) -> None:
        for queue, number, held, count in rows:
            state = state_of(number, held)
            if state is not State.CANCELLED:
                self._tally.add(queue, state.value, count)


class _Parts:
    """The states of a large table, in one transaction."""

    def __init__(self, session: Session, most: int, tally: Tally) -> None:
        self._session = session
        self._most = most
        self._tally = tally

    def count(self) -> None:
        for queue, count in self._session.run("count_running"):
            self._tally.add(queue, "running", count)
        for queue in dict.fromkeys(queue_of(name) for (name,) in self._session.run("count_names")):
            ((count,),) = self._session.run("count_some", queue=queue, most=self._most)
            if count < self._most:
                self._tally.add(queue, "ready", count)
            else:
                self._tally.add(queue, "ready", max(count, self._sample["ready"].get(queue, 0)), about=True)
        self._count_state("waiting", self._session.run("count_waiting", most=self._most))
        for state in (State.DELAYED, State.PARKED, State.DEAD):
            rows = self._session.run("count_state", state=STATES[state][0], most=self._most)
            self._count_state(state.value, rows)

    def _count_state(self, state: str, rows: Sequence[tuple[str, int]]) -> None:
        if sum(count for _, count in rows) < self._most:
            for queue, count in rows:
                self._tally.add(queue, state, count)
            return
        found = {queue: self._sample[state].get(queue, 0) for queue, _ in rows} | dict(self._sample[state])
        for queue, count in found.items():
            least = sum(its for line, its in rows if queue_of(line) == queue)
            self._tally.add(queue, state, max(count, least), about=True)

    @cached_property
    def _sample(self) -> Mapping[str, Mapping[str, int]]:
        """Of each state, about how many jobs of each queue there are."""
        percent = min(100.0, 100.0 * _SAMPLED / max(1, int(self._session.run("count_pages")[0][0])))
        found = defaultdict[str, dict[str, int]](dict)
        for line, number, held, count in self._session.run("count_sample", percent=percent):
            its, queue = found[state_of(number, held).value], queue_of(line)
            its[queue] = its.get(queue, 0) + round(count * 100 / percent)
        return found
