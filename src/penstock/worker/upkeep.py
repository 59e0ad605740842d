"""What one thread does for a whole worker: heartbeats, delayed jobs, schedules, rescue of the dead, and clearing up."""

from __future__ import annotations

import math
import os
import random
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import closing
from typing import Protocol

from penstock.brokers import connect
from penstock.brokers.base import Broker, WorkerInfo
from penstock.core.canary import canary
from penstock.core.decide import Terms
from penstock.core.ids import uuid7s
from penstock.core.job import Holder
from penstock.core.verdict import Death, judge, unseen
from penstock.errors import StoreError, StoreFull
from penstock.events.emit import Emitter, JobEnded, ListenerDeaf, Rescued, StoreBack, StoreTrouble
from penstock.worker.hearing import Hearing, Rung
from penstock.worker.pacemaker import Pacemaker
from penstock.worker.timekeeper import Timekeeper

#: Seconds between heartbeats.
BEAT = 2.0
#: Seconds of silence after which a worker is dead. Three beats may be lost, and its jobs still start again within 10 s.
DEAD_AFTER = 6.0
#: Seconds without an answer from the store after which this worker has missed what the others had to say.
_DEAF = DEAD_AFTER / 2
#: Seconds after an outage for which nobody is judged. The others may have begun to connect just before the store was back, and
#: one attempt takes 10 s at most; a machine that has much to do needs its time, too.
_AMNESTY = 2 * DEAD_AFTER
#: Seconds of silence after which a worker is dead where every answer of the store is so long in coming, and seconds for which one that
#: hears such answers judges nobody. An answer that takes half of that is an outage.
_PATIENCE = 10 * DEAD_AFTER
#: Times in a row that a canary was not heard until that is told for good: a new connection has not mended it. From then on
#: the worker connects anew once in so many times only, for it may be a pooler that will never have it hear anything.
_TELLING = 2
_ONCE_IN = 16
#: Seconds between attempts to reach a store that is away, at most: once it is back, every worker must beat before
#: any of them judges who is dead.
_LONGEST_PAUSE = DEAD_AFTER / 2
#: Seconds that a store has, when the worker leaves, to answer what is under way: one that has answered before, and one that never has.
_LEAVING_SECONDS = 10.0
_UNSETTLED_SECONDS = 1.0
#: Seconds after a process was buried at which it is looked again what it holds. A store may begin what it was told after its sender died.
_AGAIN = (2.0, 10.0, 40.0)
_PROMOTE = 0.5
_UNPARK = 5.0
_PRUNE = 60.0


class Spokesman(Rung, Protocol):
    """Who speaks for the worker; see `Presence`."""

    @property
    def worker(self) -> str:
        """The worker's id."""

    def info(self) -> WorkerInfo:
        """What each heartbeat says. Safe from any thread."""

    def record(self, broker: Broker, *, last: bool = False) -> None:
        """Write what the worker has counted, where it is time, or where it is the last time; raises nothing."""

    def settle(self) -> None:
        """The first heartbeat is stored, or it has failed, and will be tried again; told once."""

    def beaten(self, now: float, dead_after: float) -> None:
        """A heartbeat that was sent at `now` (monotonic seconds) is stored. A worker is dead that sends none for `dead_after` seconds. Safe from any thread."""

    def made_ready(self, processes: int) -> None:
        """There is work for so many processes, by this worker's own doing. Does not block."""

    def cancel(self, process: int, id: bytes, kill_after: float) -> None:
        """A job that runs is to be cancelled, and to have ended within `kill_after` seconds; told in every round."""

    def wants_canary(self) -> bool:
        """Is one to be enqueued?"""

    def sent_canary(self) -> None:
        """It is enqueued."""


class _DeafListener(Exception):
    """What is enqueued is not heard: the listener's connection is no good any more."""


class Upkeep:
    """Owns a broker connection of its own, in a thread of its own, where no user code can stop it.

    Parameters:
        url: of the broker.
        worker: speaks for the worker; asked and told in this thread, but for what is safe from any.
        terms: of the tasks this worker knows, by name: jobs parked for want of them are taken up again, and those of a
            process that died are judged by them.
        hasty: judge at once who is silent. A worker that runs to the end of the queue and leaves would never take up what a
            killed one held.
    """

    def __init__(
        self,
        url: str,
        worker: Spokesman,
        terms: Mapping[str, Terms],
        emitter: Emitter,
        *,
        hasty: bool = False,
    ) -> None:
        self._url = url
        self._worker = worker
        self._terms = terms
        self._emitter = emitter
        self._hasty = hasty
        # When a canary was sent of which the listener has not heard yet.
        self._sang_at: float | None = None
        # How often in a row that has been so.
        self._deaf = 0
        self._kill_after: dict[tuple[int, bytes], float] = {}
        self._nudge = threading.Event()
        self._hearing = Hearing(worker, self._nudge)
        self._stopping = False
        self._dead: deque[tuple[Holder, Death]] = deque()
        #: Those that are buried, and when to look again.
        self._buried: list[tuple[float, Holder]] = []
        # Is the first heartbeat stored, or has it failed?
        self._settled = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="penstock-upkeep", daemon=True)
        self._pacemaker = Pacemaker(url, self._beat, BEAT)
        self._due = {"beat": 0.0, "rescue": 0.0, "promote": 0.0, "unpark": 0.0, "prune": 0.0}
        self._silent = True
        self._pause = 0.0
        self._answered_at: float | None = None
        # Could it not be reached since then?
        self._away = False
        # Seconds that the last round took, nearly all of them for answers.
        self._took = 0.0
        # When the silent were judged for the last time, or the store was away.
        self._judged_at = time.monotonic()

    def start(self) -> None:
        """Start; the worker is told when the first heartbeat is stored."""
        self._pacemaker.start()
        self._thread.start()

    def bury(self, process: int, death: Death) -> None:
        """Write down, soon, what becomes of the jobs that a dead process held."""
        self._dead.append((Holder(self._worker.worker, process), death))
        self._nudge.set()

    @property
    def silent_for(self) -> float | None:
        """Seconds since the store has answered; None when it never has."""
        answered_at = self._answered_at
        return None if answered_at is None or answered_at == -math.inf else time.monotonic() - answered_at

    @property
    def judging(self) -> bool:
        """Are there dead processes whose jobs have not been written down yet?"""
        return bool(self._dead)

    def nudge(self) -> None:
        """Have it take a round now."""
        self._nudge.set()

    @property
    def ended(self) -> bool:
        """Has it ended? If nobody asked it to, then by an error that it wrote to standard error."""
        return self._ended.is_set()

    def stop(self) -> None:
        """Take the worker's name off the list, give back what it may still hold, and end."""
        self._hearing.leaving = True
        self._stopping = True
        self._nudge.set()
        # To a store that has never answered there is nothing to give back.
        self._thread.join(_LEAVING_SECONDS if self._settled else _UNSETTLED_SECONDS)

    def _run(self) -> None:
        try:
            self._serve()
        finally:
            self._pacemaker.stop()
            self._ended.set()
            self._settle()

    def _settle(self) -> None:
        if not self._settled:
            self._settled = True
            self._worker.settle()

    def _serve(self) -> None:
        while True:
            broker = connect(self._url)
            opened = False
            try:
                broker.open()
                opened = True
                # Where it listens from now on, the others learn by a heartbeat.
                self._due["beat"] = 0.0
                keeper = Timekeeper(broker, self._emitter, self._worker.made_ready)
                with closing(keeper) as timekeeper, broker.listen(self._hearing):
                    self._keep(broker, timekeeper)
                return
            except _DeafListener:
                continue
            except StoreError as error:
                self._away = self._away or not opened
                self._tell(error)
                if self._stopping:
                    return
            finally:
                broker.close()
            self._rest()

    def _tell(self, error: StoreError) -> None:
        """The store refuses: say so, once, until it answers again."""
        self._settle()
        if self._answered_at is None:
            self._answered_at = -math.inf
        if self._silent:
            self._silent = False
            self._emitter.emit(StoreTrouble(f"upkeep: {error}"))

    def _rest(self) -> None:
        """Wait before the store is tried again."""
        self._pause = min(_LONGEST_PAUSE, max(0.2, self._pause * 2))
        self._nudge.wait(self._pause * random.uniform(0.5, 1.0))
        self._nudge.clear()

    def _keep(self, broker: Broker, timekeeper: Timekeeper) -> None:
        while not self._stopping:
            self._nudge.clear()
            self._hearing.round_begins()
            try:
                if timekeeper.is_pressing:
                    timekeeper.fire()
                began = time.monotonic()
                wait = self._round(broker, timekeeper)
            except StoreFull as error:
                # It has answered: nothing is wrong with the connection, or with where this worker is known to listen.
                self._tell(error)
                self._rest()
                continue
            self._hearing.round_ends()
            self._answered_at = time.monotonic()
            self._took = self._answered_at - began
            self._away = False
            self._pause = 0.0
            self._settle()
            if not self._silent:
                self._silent = True
                self._emitter.emit(StoreBack())
            self._hearing.wait(wait)
        self._judge_dead(broker)
        self._worker.record(broker, last=True)
        # It would put the worker on the list again.
        self._pacemaker.stop()
        broker.depart(self._worker.worker)

    def _round(self, broker: Broker, timekeeper: Timekeeper) -> float:
        """Do what is due; returns the seconds until something is due again."""
        self._judge_dead(broker)
        # First of all, and again until it is stored: who judges others by their silence must not be silent.
        if self._is_due("beat"):
            # By when it was sent: that is what the others know, and they have waited since.
            beaten_at = self._beat(broker)
            self._pacemaker.beaten(beaten_at)
            self._due["beat"] = beaten_at + BEAT
        self._rescue(broker)
        self._look_at_buried(broker)
        if self._is_due("unpark"):
            broker.unpark(tuple(self._terms))
            self._done("unpark", _UNPARK)
        self._ask_for_cancels(broker)
        self._see_to_canary(broker)
        next_due = broker.promote()
        # Last, and not again at once: where the store refuses it, a right is lacking say, jobs run all the same.
        self._worker.record(broker)
        if self._is_due("prune"):
            self._done("prune", _PRUNE)
            broker.prune()
        # After what makes room in a store that is full, and refuses new jobs.
        next_due = _sooner(next_due, timekeeper.fire())
        wait = _PROMOTE if next_due is None else max(0.001, min(_PROMOTE, next_due))
        return min(wait, max(0.0, min(self._due[name] for name in ("beat", "rescue")) - time.monotonic()))

    def _beat(self, broker: Broker) -> float:
        """Send a heartbeat; returns when that was (monotonic seconds). In this thread, or the pacemaker's."""
        # What has held as it was sent may have no more when it is answered.
        now = time.monotonic()
        broker.heartbeat(self._worker.info())
        self._worker.beaten(now, DEAD_AFTER)
        return now

    def _rescue(self, broker: Broker) -> None:
        """Give back what silent workers hold. After an outage of the store not yet: the others could not beat either, and are not dead for having been silent.

        However short it was: of a store that goes and comes back again and again, others may have missed each moment it was there. A driver that
        asks again by itself, as MongoDB's does, tells of it by nothing but an answer that comes late.
        """
        now = time.monotonic()
        waited = max(self._took, 0.0 if self._answered_at is None else now - self._answered_at)
        late = waited > _DEAF
        if self._answered_at is None and broker.can_be_away and not self._hasty:
            # The store may have come back just now, and the others have not yet.
            self._done("rescue", DEAD_AFTER)
        elif self._away or waited > _PATIENCE / 2:
            self._judged_at = now
            self._done("rescue", _AMNESTY)
        elif late and now - self._judged_at < _PATIENCE:
            self._done("rescue", _AMNESTY)
        if self._is_due("rescue"):
            # Where all answers come late somebody must judge all the same: by a silence that they do not explain.
            jobs = broker.rescue(dead_after=_PATIENCE if late else DEAD_AFTER)
            self._judged_at = now
            self._done("rescue", _AMNESTY if late else BEAT * random.uniform(0.8, 1.0))
            if jobs:
                self._emitter.emit(Rescued(jobs))

    def _is_due(self, name: str) -> bool:
        return time.monotonic() >= self._due[name]

    def _done(self, name: str, every: float) -> None:
        self._due[name] = time.monotonic() + every

    def _judge_dead(self, broker: Broker) -> None:
        while self._dead:
            holder, death = self._dead[0]
            crashed: tuple[bytes, ...] = ()
            if death.runs and not death.interrupted:
                held = broker.held(holder)
                verdict = judge(death, held, self._terms, random.random())
                crashed = verdict.crashed if broker.keeps_records else (*verdict.crashed, *unseen(death, held))
                if verdict.outcomes:
                    stale = broker.exchange(verdict.outcomes, (), 0, holder).stale
                    seconds = {run.id: run.seconds for run in death.runs}
                    for outcome in verdict.outcomes:
                        if outcome not in stale:
                            self._emitter.emit(JobEnded(outcome, seconds[outcome.lease.id]))
            broker.abandon(holder, crashed)
            self._dead.popleft()
            self._buried += [(time.monotonic() + after, holder) for after in _AGAIN]

    def _look_at_buried(self, broker: Broker) -> None:
        """Give back what a dead process took after it was buried: its worker lives, so nobody else would."""
        now = time.monotonic()
        for holder in {holder for at, holder in self._buried if at <= now}:
            broker.abandon(holder)
        self._buried = [(at, holder) for at, holder in self._buried if at > now]

    def _see_to_canary(self, broker: Broker) -> None:
        now = time.monotonic()
        if self._sang_at is not None and self._hearing.has_heard(self._sang_at):
            self._sang_at, self._deaf = None, 0
        if self._sang_at is not None and now - self._sang_at > _DEAF:
            self._sang_at = None
            self._deaf += 1
            if self._deaf <= _TELLING:
                self._emitter.emit(ListenerDeaf(lasting=self._deaf == _TELLING))
            if self._deaf < _TELLING or self._deaf % _ONCE_IN == 0:
                raise _DeafListener
        if self._worker.wants_canary():
            if self._sang_at is None:
                self._sang_at = now
            (id,) = uuid7s(1, time.time_ns() // 1_000_000, os.urandom(10))
            broker.enqueue([canary(id, self._worker.worker)])
            self._worker.sent_canary()

    def _ask_for_cancels(self, broker: Broker) -> None:
        asked = broker.cancelled(self._worker.worker)
        self._kill_after = {each: wait for each, wait in self._kill_after.items() if each in asked}
        for process, id in asked:
            if (process, id) not in self._kill_after:
                held = (lease for lease in broker.held(Holder(self._worker.worker, process)) if lease.id == id)
                terms = (self._terms.get(lease.task) for lease in held)
                known = next(filter(None, terms), Terms())
                # A call that jobs share is not ended for one of them.
                self._kill_after[process, id] = math.inf if known.batched else known.kill_after
            self._worker.cancel(process, id, self._kill_after[process, id])


def _sooner(one: float | None, other: float | None) -> float | None:
    """The smaller one of two numbers, either of which may be missing."""
    return min((wait for wait in (one, other) if wait is not None), default=None)
