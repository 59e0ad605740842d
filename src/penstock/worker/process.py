"""One worker process: takes jobs for its pool until it is told to stop.

Four threads share it. The main thread runs the loop (and, with one slot, the jobs). The link thread sleeps in a read
of the supervisor's socket. The relief thread looks in a hundred times a second while there is much work, so that slow jobs
hold up neither the endings before them nor the leases behind them. The limits' thread sleeps until a job with a limit
has had its time.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Sequence

from penstock.batching.collector import Collectors
from penstock.brokers.base import Broker
from penstock.core.bundle import Bundle, unbundled
from penstock.core.canary import queue_of
from penstock.core.decide import INTERRUPTED, cancelled, dead
from penstock.core.job import Holder, Lease
from penstock.core.outcome import Outcome
from penstock.errors import StoreError
from penstock.events.emit import Emitter, StoreBack, StoreTrouble
from penstock.events.meter import Meter
from penstock.pools import load_pool
from penstock.worker import link as message
from penstock.worker.board import Board
from penstock.worker.caches import loaded_caches
from penstock.worker.dispatcher import Dispatcher
from penstock.worker.limits import Limit, Limits
from penstock.worker.link import Link
from penstock.worker.relief import SLOW, Relief
from penstock.worker.runner import Runner
from penstock.worker.suspects import Suspects
from penstock.worker.work import Work

#: Seconds between looks at a queue that seems empty. Rings make them rare; this is for a ring that was lost.
_POLL = (0.8, 1.2)
#: Seconds between two exchanges of a busy process of many slots. Half of what an ending may wait, and with it 10,000
#: jobs of 100 ms took 1,000 slots 1.2 s instead of 2.5.
_GATHER = 0.005
_SHORTEST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
_HAND_IN_AGAIN = 0.2
#: Seconds between looks at how much waits in the store, where a batch task's sizes depend on it.
_DEPTH_EVERY = 0.25


class Process:
    """Takes and runs jobs.

    Parameters:
        broker: open, and this process's own.
        burst: end when the queues are empty.
        verbose: report the jobs that ended well, too.
        usable: how many of the slots may be used for now; all of them without.
        max_jobs: leave after so many, for another process to take the place.
    """

    def __init__(
        self,
        broker: Broker,
        holder: Holder,
        queues: Sequence[str],
        runner: Runner,
        pool: str,
        slots: int,
        board: Board,
        link: Link,
        emitter: Emitter,
        *,
        burst: bool = False,
        verbose: bool = False,
        usable: int | None = None,
        max_jobs: int | None = None,
    ) -> None:
        self._runner = runner
        self._holder = holder
        self._link = link
        self._emitter = emitter
        self._burst = burst
        self._max_jobs = max_jobs
        self._wake = threading.Event()
        self._stopping = False
        self._leaving = False
        self._idle = False
        self._pause = self._exchanged_at = self._counted_at = 0.0
        self._meter = meter = Meter(board.counters, loaded_caches)
        meter.subscribe(emitter)
        board.ran, board.quick = meter.ran, meter.quick
        settled = runner.settled if runner.writers else None
        self._dispatcher = Dispatcher(
            broker, holder, queues, self._report_stale, board.count, meter, settled, board.lapsed
        )
        self._board = board
        board.declined = self._decline
        kind = load_pool(pool)
        self._collectors = Collectors(runner.shared, 1 if kind.inline else slots, in_turn=kind.inline)
        done = self._dispatcher.done if kind.inline else self._done
        limits = Limits(board.limit, self._interrupt, None if kind.inline else self._condemn)
        self._limits = runner.limits = limits
        #: Keeps what the jobs of this process note.
        self.scribe = self._dispatcher.scribe
        runner.joining = self._dispatcher.joining
        self._work = Work(runner, limits, emitter, board.seconds, self._collectors.ended, verbose=verbose)
        self._pool = kind(slots, self._work, done, board.note)
        runner.call = self._pool.call
        runner.judged += self._pool.errors
        if usable is not None:
            self._pool.resize(usable)
        self._relief = Relief(self._pool, self._dispatcher.show)
        self._suspects = Suspects(self._pool)

    def run(self) -> None:
        """Work until stopped, or until the queues are empty where that ends it. Called in the main thread."""
        for number, handler in self._pool.handlers().items():
            signal.signal(number, handler)
        threading.Thread(target=self._listen, name="penstock-link", daemon=True).start()
        threading.Thread(target=self._relieve, name="penstock-relief", daemon=True).start()
        took: int | None = 0
        while not self._stopping:
            if not self._pool.inline or (not took and self._collectors.due_in(time.monotonic())):
                self._gather()
            elif took and self._collectors.spacing:
                time.sleep(max(0.0, self._exchanged_at + self._collectors.spacing - time.monotonic()))
            self._wake.clear()
            room = self._room()
            took = self._tick(room)
            if took is None:
                continue
            if self._dispatcher.waiting or (took and self._pool.inline):
                continue
            if not took and self._is_idle() and (self._leaving or (self._burst and self._is_empty())):
                break
            self._rest()
        self._finish()
        self._meter.close()

    def _is_empty(self) -> bool:
        """Has the last job been taken? What a limit holds back is still to come."""
        try:
            return not self._dispatcher.is_work_left()
        except StoreError as error:
            self._trouble(error)
            return False

    def stop(self) -> None:
        """Start no more jobs; `run` returns when those that run have ended."""
        self._stopping = True
        self._pool.stop()
        self._cut_rows(self._pool.running())
        self._wake.set()

    def _leave(self) -> None:
        """Take no more, and end when what runs has ended; another process takes the place at once."""
        if not (self._leaving or self._stopping):
            self._leaving = True
            self._link.send(message.LEAVING)
            self._cut_rows(self._pool.running())
            self._dispatcher.release(self._unstarted())
            self._wake.set()

    def _room(self) -> int:
        if self._max_jobs is not None and self._dispatcher.ended >= self._max_jobs:
            self._leave()
        if self._leaving or self._suspects.waiting:
            return 0
        room = self._collectors.room(self._pool.room(), time.monotonic())
        if self._max_jobs is None:
            return room
        return max(0, min(room, self._max_jobs - self._dispatcher.ended - self._dispatcher.held))

    def _gather(self) -> None:
        """Let endings gather where they come thick and fast: not every one of a thousand slots needs its own commit.

        One by itself is handed in at once, and so is the last.
        """
        left = self._exchanged_at + _GATHER - time.monotonic()
        if left > 0 and not self._is_idle():
            time.sleep(left)

    def _tick(self, room: int) -> int | None:
        """One exchange, then run or start what it brought; None when the store refused and a pause was made."""
        began = time.monotonic()
        if self._board.lapsed(self._exchanged_at, began):
            self._dispatcher.release(self._unstarted())
        self._board.held_since = began
        try:
            leases = self._dispatcher.tick(room)
        except StoreError as error:
            self._trouble(error)
            self._link.send(message.HERE)
            self._wake.wait(self._pause * random.uniform(0.5, 1.0))
            self._pause = min(_LONGEST_PAUSE, self._pause * 2)
            return None
        if self._pause:
            self._pause = 0.0
            self._emitter.emit(StoreBack())
        self._exchanged_at = time.monotonic()
        if leases:
            # Before any of them runs: the first may be slow, and those behind it are then for others.
            self._relief.begin(leases, beside=self._collectors.waiting > 0)
            if len(leases) >= room:
                self._link.send(message.MORE)
            elif self._idle and not self._pool.inline:
                # The supervisor sees on the board whether a single slot is free.
                self._link.send(message.BUSY)
            self._idle = False
        starting = self._collectors.sort(leases, time.monotonic(), room)
        self._pool.exchanged(self._exchanged_at - began, self._collectors.share)
        if not self._pool.inline:
            starting = self._part(starting)
        # Asked before it is in the pool, a suspect that starts now does not seem to run.
        alone = not self._pool.inline and any(lease.crashes for lease in starting)
        if not (alone or self._suspects.waiting):
            starting += self._bundles()
        if starting:
            self._pool.submit(starting)
        return len(leases)

    def _bundles(self) -> list[Bundle]:
        """The calls that jobs share and that start now."""
        now = time.monotonic()
        if self._collectors.deepest() and now - self._counted_at > _DEPTH_EVERY:
            self._counted_at = now
            try:
                self._collectors.behind(self._dispatcher.behind())
            except StoreError as error:
                self._trouble(error)
        return self._collectors.ready(now, self._pool.room())

    def _part(self, leases: list[Lease]) -> list[Lease]:
        """Of new leases, those to start now: a suspect starts when nothing else runs, and what came with it goes back."""
        suspects = self._suspects
        if not suspects.waiting and not any(lease.crashes for lease in leases):
            return leases
        self._dispatcher.release(self._collectors.unbundled(suspects.meet(leases)))
        if suspects.tired_of_waiting:
            self._leave()
        following = suspects.next()
        return [] if following is None else [following]

    def _rest(self) -> None:
        """Nothing to do: say so, and wait for a ring, an ending or the next look."""
        if self._is_idle():
            self._relief.rest()
        stands = not self._wake.is_set() and self._room() > 0 and self._dispatcher.standby(self._wake.set)
        if not self._idle and not self._leaving and self._pool.room():
            self._idle = True
            self._link.send(message.STANDS if stands else message.IDLE)
        due = self._collectors.due_in(time.monotonic())
        wait = SLOW if self._suspects.waiting else random.uniform(*_POLL)
        self._wake.wait(wait if due is None else min(wait, due))

    def _is_idle(self) -> bool:
        return not self._suspects.waiting and not self._collectors.waiting and self._pool.idle()

    def _finish(self) -> None:
        """Wait for what runs and hand it in, however long the store refuses: the supervisor's grace ends it."""
        while self._pool.running():
            self._wake.wait(0.05)
            self._wake.clear()
            if self._dispatcher.waiting:
                self._relinquish(())
        while not self._relinquish(self._unstarted()):
            self._wake.clear()
            self._wake.wait(_HAND_IN_AGAIN)
        self._runner.close()

    def _unstarted(self) -> list[Lease]:
        """Take back every lease that has not started."""
        leases = [*self._pool.take_back(), *self._suspects.take_back()]
        return [*self._collectors.unbundled(leases), *self._collectors.take_back()]

    def _done(self, outcome: Outcome) -> None:
        self._dispatcher.done(outcome)
        if not self._wake.is_set():
            self._wake.set()

    def _decline(self, lease: Lease) -> None:
        """A lease may be another's by now, and with it those that were taken before it: none of them starts."""
        self._dispatcher.release([*self._collectors.unbundled([lease]), *self._unstarted()])
        self._wake.set()

    def _interrupt(self, lease: Lease, error: BaseException, claim: Callable[[], bool]) -> bool:
        return self._runner.interrupt(lease, error, claim) or self._pool.interrupt(lease, error, claim)

    def _condemn(self, limit: Limit) -> bool:
        """A job has passed its last moment in a process that others share: it has ended, and they may end in peace.

        Where it lets none of them go on they will not end either: then the supervisor kills them all.
        """
        if not self._pool.responds():
            return False
        lease = limit.lease
        outcome = self._runner.condemned(lease, limit.error)
        if self._pool.condemn(lease):
            self._dispatcher.done(outcome)
            self._work.report_now(outcome, limit.seconds)
            self._leave()
            self._wake.set()
        return True

    def _cancel(self, id: bytes) -> None:
        """Interrupt a job that is to be cancelled; one that has not started ends at once."""
        for lease in self._pool.running():
            if isinstance(lease, Bundle):
                # It shares its call with others: whatever it raises counts as cancelled, and nothing is interrupted.
                if any(each.id == id for each in lease.leases):
                    self._runner.cancel(next(each for each in lease.leases if each.id == id))
                    return
            elif lease.id == id:
                slot, policy = self._pool.slot_of(lease), self._runner.policy(lease)
                if slot is not None and policy is not None:
                    self._runner.cancel(lease)
                    self._limits.cancel(slot, lease, policy)
                return
        for lease in self._unstarted():
            if lease.id == id:
                self._dispatcher.done(cancelled(lease))
            else:
                self._dispatcher.release([lease])

    def _report_stale(self, outcomes: Sequence[Outcome]) -> None:
        self._emitter.emit(StoreTrouble(f"{len(outcomes)} jobs ended too late: they had been given to another worker"))

    def _listen(self) -> None:
        while True:
            command = self._link.receive()
            if not command or command == message.QUIT:
                # Without a supervisor nobody keeps the leases alive: whoever takes the jobs next must not meet this one.
                if command:
                    self._give_up()
                os._exit(0 if command else 1)
            self._obey(command)
            self._idle = False
            self._wake.set()

    def _obey(self, command: bytes) -> None:
        if command == message.STOP:
            self.stop()
            self._relinquish(self._unstarted())
        elif command == message.DRAIN:
            self._leave()
        elif command == message.CANCEL:
            self._cancel(self._link.receive_id())
        elif command == message.CANARY:
            self._dispatcher.once = (queue_of(self._holder.worker),)
        elif command == message.AMONG:
            self._dispatcher.others = self._link.receive_number()
        elif command == message.SLOTS:
            self._pool.resize(self._link.receive_number())

    def _give_up(self) -> None:
        self._pool.stop()
        unstarted, running = self._unstarted(), list(unbundled(self._pool.running()))
        for lease in running:
            if lease.at_most_once:
                # Given back, it would run twice.
                self._dispatcher.done(dead(lease, INTERRUPTED))
        self._relinquish([*unstarted, *(lease for lease in running if not lease.at_most_once)])

    def _relinquish(self, leases: Sequence[Lease]) -> bool:
        """Give leases back; when the store refuses, they stay with the outcomes for the next exchange."""
        try:
            self._dispatcher.give_back(leases)
        except StoreError as error:
            self._trouble(error)
            return False
        return True

    def _trouble(self, error: StoreError) -> None:
        """Say once that the store refuses, until it answers again."""
        if not self._pause:
            self._pause = _SHORTEST_PAUSE
            self._emitter.emit(StoreTrouble(str(error)))

    def _relieve(self) -> None:
        while True:
            self._relief.wait()
            slow = self._relief.look()
            self._cut_rows(slow)
            behind = self._collectors.unbundled(self._relief.hostages())
            if slow:
                collectors = self._collectors
                behind += collectors.take_back() if self._pool.inline else collectors.hostages(time.monotonic())
            # With many slots the main thread is free to hand in what has ended.
            if behind or (slow and self._pool.inline and self._dispatcher.waiting):
                self._relinquish(behind)

    def _cut_rows(self, leases: Sequence[Lease]) -> None:
        for lease in leases:
            if lease.packed:
                self._runner.cut(lease)
