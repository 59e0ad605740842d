"""Moving the jobs of a live queue from one store to another, whatever happens to the mover or to either of them.

One round: what has left the source, in the order of its numbers, arrives at the destination and is then discarded at the source; while one shipment
arrives, the next one leaves. Each of these is one transaction that may be repeated, so a round that broke off is begun anew. See `penstock.brokers.transfer`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait

import msgspec

from penstock.brokers.base import Broker, Feature
from penstock.brokers.relocation import Relocation
from penstock.brokers.transfer import Left, Transfer, beside
from penstock.core.shipment import Shipment
from penstock.errors import ConfigError, StoreError, StoreUnavailable

#: Jobs that leave together, at most. See ADR 0018 for what was measured.
AT_ONCE = 2000
#: Shipments until the destination is told which of them need not be remembered for ever.
_SETTLE = 50
#: Seconds between two looks at a source where nothing can leave, at least and at most.
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
#: Seconds of silence after which a worker of the source is dead, and for how long nobody is judged there at first: each must have had the time to beat.
_DEAD_AFTER, _AMNESTY = 6.0, 12.0


class Standing(msgspec.Struct, frozen=True):
    """How far a move is.

    Parameters:
        moved: jobs that have arrived since it began.
        known: of these, the jobs that were not stored as the destination had them already, by their id or their unique key.
        left: what the source had when that was last counted.
        seconds: since it began.
        trouble: which store can't be reached, while it waits for that.
    """

    moved: int = 0
    known: int = 0
    left: Left = Left()
    seconds: float = 0.0
    trouble: str | None = None


class Summary(msgspec.Struct, frozen=True):
    """How a move ended. `schedules` have moved as well. `complete` says that the source has nothing more of what was to be moved."""

    complete: bool
    moved: int
    known: int
    left: int
    running: int
    seconds: float
    jobs_per_second: float
    schedules: int = 0


class Mover:
    """Moves jobs until the source has none, or nothing can leave for now.

    Parameters:
        source, destination: open, and nobody else's.
        place: the destination as it may be shown.
        queues: only these; None is all, with the results that are kept.
        once: end when nothing can leave, without waiting for jobs that run.
        adopt: let arrive here, too, what is on its way to another place, which is gone for good.
        at_once: jobs that leave together, at most.
    """

    def __init__(
        self,
        source: Broker,
        destination: Broker,
        place: str,
        queues: Sequence[str] | None = None,
        *,
        once: bool = False,
        adopt: bool = False,
        at_once: int = AT_ONCE,
    ) -> None:
        self._broker = source
        self._source: Transfer = source.transfer()
        self._there = destination
        self._destination: Transfer = destination.transfer()
        both = Feature.SCHEDULES in source.features & destination.features
        self._relocation = Relocation(source.schedules(), destination.schedules()) if both and queues is None else None
        self._place = place
        self._queues = queues
        self._once = once
        self._adopt = adopt
        self._at_once = at_once
        self._stop = threading.Event()
        self._began = time.monotonic()
        self._answers_since = self._began
        self._bound_for = b""
        self._moved = self._known = self._schedules = 0
        self._left = Left()
        self._settled: list[bytes] = []
        #: What this mover itself let leave, and need not read again.
        self._own: dict[int, Shipment] = {}
        self._other_side = ThreadPoolExecutor(1, "penstock-move")

    def stop(self) -> None:
        """End after what is on its way has arrived; may be called from a signal handler or another thread."""
        self._stop.set()

    def run(self, show: Callable[[Standing], None]) -> Summary:
        """Move.

        Parameters:
            show: told how far it is, after each shipment and while a store can't be reached.

        Raises:
            ConfigError: both places are one store.
            StoreError: something is on its way to another store than this destination, and may not be adopted; or a store refused.
        """
        with self._other_side:
            return self._run(show)

    def _run(self, show: Callable[[Standing], None]) -> Summary:
        pause = _SHORTEST_PAUSE
        self._patiently(show, self._begin)
        show(self._standing())
        while not self._stop.is_set():
            if self._patiently(show, self._round):
                pause = _SHORTEST_PAUSE
                show(self._standing())
                continue
            self._patiently(show, self._look)
            show(self._standing())
            if self._left.movable == 0 and (self._once or self._left.held == 0):
                break
            self._stop.wait(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
        else:
            self._patiently(show, self._deliver_all)
            self._patiently(show, self._look)
        # Those that a worker of the source has declared again as it started meanwhile.
        self._patiently(show, self._relocate)
        self._settle(1)
        return self._summary()

    def _begin(self) -> bool:
        """See that there is one source and one destination."""
        self._bound_for, here = self._destination.name(), self._source.name()
        if self._bound_for == here:
            raise ConfigError("the source and the destination are the same queue: name two")
        if self._bound_for == beside(here) and self._broker.keeps_records:
            raise ConfigError("the source is the destination's backend: its jobs are there already")
        self._left = self._source.left(self._queues)
        self._copy_subscriptions()
        return self._relocate()

    def _relocate(self) -> bool:
        """Have the schedules leave, before the jobs: from then on, workers of the destination start what is due."""
        if self._relocation is not None:
            self._schedules += self._relocation.run()
        return True

    def _copy_subscriptions(self) -> None:
        """Have the destination know who subscribes: what is published there before its workers have started goes to them as well."""
        known = {one.key for one in self._there.subscriptions()}
        new = [
            one
            for one in self._broker.subscriptions()
            if one.key not in known and (self._queues is None or one.queue in self._queues)
        ]
        if new:
            self._there.subscribe(new)

    def _round(self) -> bool:
        """Let all that has left arrive; where nothing has, let something leave first. Returns whether there was anything."""
        # Nothing can leave where another mover let it all leave: then that is to arrive.
        return self._deliver_all() or (self._ship() | self._deliver_all())

    def _ship(self) -> bool:
        left = self._source.ship(self._bound_for, self._place, self._queues, self._at_once)
        if left is not None:
            self._own[left[0]] = left[1]
        return left is not None

    def _deliver_all(self) -> bool:
        """Let all that has left arrive, by its numbers: what left before must arrive before, whoever let it leave. Returns whether there was anything."""
        pending = self._source.pending()
        self._own = {one.number: self._own[one.number] for one in pending if one.number in self._own}
        mine = [one for one in pending if self._adopt or one.bound_for == self._bound_for]
        for one in mine:
            shipment = self._own.get(one.number) or self._source.shipment(one.number)
            if shipment is not None:
                self._deliver(one.number, shipment, last=one is pending[-1])
        others = [one for one in pending if one not in mine]
        if others:
            # Not before what is bound for here has arrived: two moves to two places must not wait for one another.
            raise StoreError(
                f"{len(others)} shipments of another move are on their way to another place than {self._place}: "
                "let that move end first, by the command that began it (or, if that place is gone for good, see --adopt)"
            )
        return bool(mine)

    def _deliver(self, number: int, shipment: Shipment, *, last: bool) -> None:
        arriving = self._other_side.submit(self._destination.receive, shipment)
        try:
            if last and not self._stop.is_set():
                self._ship()
        finally:
            wait([arriving])
        arrival = arriving.result()
        self._source.discard(number)
        # Whoever comes second was told of nothing, and has nothing to count.
        self._moved += len(shipment.jobs)
        self._known += 0 if arrival is None else arrival.known
        self._settled.append(shipment.id)
        self._settle(_SETTLE)

    def _settle(self, least: int) -> None:
        """Where so many are to be settled, do so. What is not told stays remembered, which costs 16 bytes."""
        if len(self._settled) >= least:
            try:
                self._destination.settle(self._settled)
            except StoreUnavailable:
                return
            self._settled = []

    def _look(self) -> bool:
        """Nothing can leave: see what is left, and that what dead workers of the source held comes back."""
        self._broker.promote()
        if not self._broker.can_be_away or time.monotonic() - self._answers_since > _AMNESTY:
            self._broker.rescue(dead_after=_DEAD_AFTER)
        self._left = self._source.left(self._queues)
        return True

    def _patiently(self, show: Callable[[Standing], None], work: Callable[[], bool]) -> bool:
        """Do the work, as soon as both stores can be reached; all of it can be repeated."""
        pause = _SHORTEST_PAUSE
        while True:
            try:
                return work()
            except StoreUnavailable as error:
                if self._stop.is_set():
                    raise
                show(self._standing(str(error)))
            self._answers_since = time.monotonic()
            self._stop.wait(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _standing(self, trouble: str | None = None) -> Standing:
        return Standing(self._moved, self._known, self._left, time.monotonic() - self._began, trouble)

    def _summary(self) -> Summary:
        seconds = time.monotonic() - self._began
        left, running = self._left.movable, self._left.held
        return Summary(
            complete=left == 0 and running == 0, moved=self._moved, known=self._known, left=left, running=running,
            seconds=round(seconds, 3), jobs_per_second=round(self._moved / seconds, 1) if seconds > 0 else 0.0,
            schedules=self._schedules,
        )  # fmt: skip
