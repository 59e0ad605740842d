"""Between pool and broker: hand in what ended, take what there is room for, in one transaction.

The broker belongs to whoever holds the dispatcher's lock. In a process of one slot that is the main thread, which never
waits for the broker while it has work, and now and then a helper: `relieve` hands in the jobs that ended
before a slow one, and gives back those behind it, so that neither waits for it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from penstock.brokers.base import Broker
from penstock.core.decide import INTERRUPTED, dead
from penstock.core.job import Holder, Lease
from penstock.core.joining import EndWithin
from penstock.core.outcome import Ending, Outcome, ended
from penstock.errors import StoreError
from penstock.events.meter import Meter
from penstock.worker.scribe import Scribe
from penstock.worker.showing import Showing

#: Seconds after an exchange failed at which the store is asked what it holds in this process's name. A server may begin what it was
#: told after the connection is cut by which it came, and may be slow.
_LOOKS = (1.0, 5.0, 15.0, 45.0, 90.0)


class Dispatcher:
    """One process's path to the broker.

    Parameters:
        broker: open, and this dispatcher's own.
        holder: in whose name leases are taken.
        queues: to take from.
        stale: is told the outcomes that came too late.
        count: is told how many jobs have ended, with each exchange.
        meter: counts what has ended.
        settled: is told the outcomes that the store knows, where somebody waits for that.
        lapsed: see `Board.lapsed`.
    """

    def __init__(
        self,
        broker: Broker,
        holder: Holder,
        queues: Sequence[str],
        stale: Callable[[Sequence[Outcome]], None],
        count: Callable[[int], None],
        meter: Meter,
        settled: Callable[[Sequence[Outcome]], None] | None = None,
        lapsed: Callable[[float, float], bool] = lambda since, now: False,
    ) -> None:
        self._broker = broker
        self._holder = holder
        self._queues = tuple(queues)
        self._stale = stale
        self._count = count
        self._meter = meter
        self._settled = settled
        self._lapsed = lapsed
        #: Queues to take from with the next exchange that takes anything, beside its own.
        self.once: tuple[str, ...] = ()
        #: How many other processes are about to take from the same queues; of interest to the next exchange that takes anything.
        self.others = 0
        #: Jobs that have ended, and the store knows.
        self.ended = 0
        #: Leases that have been taken and not handed in.
        self.held = 0
        #: Keeps what the jobs of this process note.
        self.scribe = Scribe(self._borrowed)
        #: Is told what runs, now and then.
        self.show = Showing(holder, self._borrowed, needed=not broker.keeps_records).look
        #: The leases that came last, and the claims of others that are held, by the ids of their jobs.
        self._latest: tuple[Lease, ...] = ()
        self._claims: dict[bytes, int] = {}
        #: When to look for leases that the store holds in this process's name, and it does not know of.
        self._looks: list[float] = []
        self._lock = threading.Lock()
        self._outcomes: deque[Outcome] = deque()
        # Handed in, and no answer came: if they are stale the next time, that is most likely because they went through.
        self._doubtful: set[tuple[int, int]] = set()
        #: Called with each outcome; a deque's append, so that a slot never waits here.
        self.done: Callable[[Outcome], None] = self._outcomes.append

    @property
    def waiting(self) -> int:
        """Outcomes that are not handed in yet."""
        return len(self._outcomes)

    def tick(self, room: int) -> list[Lease]:
        """One exchange: hand in what has ended, and take up to `room` leases."""
        with self._lock:
            return self._exchange(room)

    def standby(self, wake: Callable[[], None]) -> bool:
        """Nothing will be taken until `wake` is called, or something else happens; returns whether the store sends jobs by itself."""
        # What is wrong with the store, the next exchange tells.
        with self._lock, suppress(StoreError):
            return self._broker.standby(self._queues, wake)
        return False

    def hand_in(self) -> None:
        """Hand in what has ended, and take nothing."""
        with self._lock:
            if self._outcomes:
                self._exchange(0)

    def behind(self) -> int:
        """How many jobs of the queues wait in the store, as far as it counts."""
        with self._lock:
            return self._broker.backlog(self._queues).ready

    def is_work_left(self) -> bool:
        """Is any job of the queues ready? One of which this process has not heard that it was taken for it is so from now on."""
        with self._lock:
            if self._looks:
                # Who asks is about to leave, and nobody may come after it.
                self._give_back_unknown()
            return any(self._broker.depth(queue) for queue in self._queues)

    def give_back(self, leases: Sequence[Lease]) -> None:
        """Give back leases that did not run, along with what has ended."""
        self.release(leases)
        self.hand_in()

    def release(self, leases: Iterable[Lease]) -> None:
        """Give back leases that did not run, with the next exchange."""
        self._outcomes.extend(Outcome(lease, Ending.RELEASED) for lease in leases)

    @contextmanager
    def joining(self) -> Iterator[EndWithin]:
        """Have the broker for a transaction of somebody else's, in which a job is to end.

        Taken before that transaction begins: where the two share a lock, as in a SQLite file, a helper that hands in
        outcomes must not hold the broker and wait for it.

        Returns:
            What ends jobs in the transaction that it is given, and returns those whose leases are no longer in force.
        """
        with self._lock:
            yield self._end_within

    @contextmanager
    def _borrowed(self) -> Iterator[Broker]:
        with self._lock:
            yield self._broker

    def _end_within(self, outcomes: Sequence[Outcome], tx: object) -> list[Outcome]:
        return self._broker.exchange(outcomes, (), 0, self._holder, tx=tx).stale

    def _exchange(self, limit: int) -> list[Lease]:
        taken: list[Outcome] = []
        while self._outcomes:
            outcome = self._outcomes.popleft()
            if outcome.parts:
                taken += outcome.parts
            else:
                taken.append(outcome)
        outcomes = [outcome for outcome in taken if not outcome.committed]
        queues = self._queues
        if self.once and limit:
            queues, self.once = (*queues, *self.once), ()
        if self.others and limit:
            self._broker.go_around(self.others)
            self.others = 0
        began = time.monotonic()
        try:
            exchange = self._broker.exchange(outcomes, queues, limit, self._holder)
        except BaseException:
            # Nothing that ended is forgotten: it goes with the next exchange. One that did go through is then stale.
            self._outcomes.extendleft(reversed(taken))
            self._doubtful.update((outcome.lease.key, outcome.lease.claim) for outcome in outcomes)
            self._looks = [time.monotonic() + after for after in _LOOKS]
            raise
        self._note(taken, exchange.leases)
        if len(outcomes) < len(taken) and not self._broker.tells_within:
            # Who waits looks now and then in any case, and what was taken is to run.
            with suppress(StoreError):
                self._broker.tell_ended(ended(outcome for outcome in taken if outcome.committed))
        count = self._meter.exchanged(taken, exchange.stale, time.monotonic() - began, time.monotonic())
        if count:
            self.ended += count
            self._count(count)
        self.scribe.settled(self._broker, outcomes, exchange.stale)
        if self._settled is not None and outcomes:
            late = {each.lease.id for each in exchange.stale}
            self._settled([each for each in outcomes if each.lease.id not in late])
        # What was not run, and is another's by now, is no news.
        stale = [
            each
            for each in exchange.stale
            if (each.lease.key, each.lease.claim) not in self._doubtful and each.ending is not Ending.RELEASED
        ]
        self._doubtful.clear()
        if stale:
            self._stale(stale)
        if self._looks and time.monotonic() >= self._looks[0]:
            # What was taken is to run, whatever the store says now: the next look is to come.
            with suppress(StoreError):
                self._give_back_unknown()
        if exchange.leases and self._lapsed(began, time.monotonic()) and self._broker.keeps_records:
            return self._in_force(exchange.leases)
        return exchange.leases

    def _in_force(self, leases: list[Lease]) -> list[Lease]:
        """Of leases that came long after they were taken, those that are not another's by now."""
        held: set[tuple[bytes, int]] = set()
        # Where it does not say, none runs.
        with suppress(StoreError):
            held = {(lease.id, lease.claim) for lease in self._broker.held(self._holder)}
        self.release(lease for lease in leases if (lease.id, lease.claim) not in held)
        return [lease for lease in leases if (lease.id, lease.claim) in held]

    def _note(self, taken: Sequence[Outcome], leases: Sequence[Lease]) -> None:
        """Keep which leases are held."""
        self.held += len(leases) - len(taken)
        claims = self._claims
        if self.held == len(leases):
            # All others have been handed in, as nearly always where jobs are short: no job is looked at.
            claims.clear()
            self._latest = tuple(leases)
            return
        claims.update((lease.id, lease.claim) for lease in self._latest)
        self._latest = ()
        for each in taken:
            if claims.get(each.lease.id) == each.lease.claim:
                del claims[each.lease.id]
        claims.update((lease.id, lease.claim) for lease in leases)

    def _give_back_unknown(self) -> None:
        """Give back leases whose answer was lost: nobody would run them for as long as this process lives."""
        held = self._broker.held(self._holder)
        known = {**self._claims, **{lease.id: lease.claim for lease in self._latest}}
        unknown = [lease for lease in held if known.get(lease.id) != lease.claim]
        if unknown:
            outcomes = [
                dead(lease, INTERRUPTED) if lease.at_most_once else Outcome(lease, Ending.RELEASED) for lease in unknown
            ]
            self._broker.exchange(outcomes, (), 0, self._holder)
        now = time.monotonic()
        self._looks = [at for at in self._looks if at > now]
