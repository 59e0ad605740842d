"""One worker process: takes jobs for its pool until it is told to stop.

Three threads share it. The main thread runs the loop (and, with one slot, the jobs). The link thread sleeps in a read
of the supervisor's socket. The relief thread looks in a hundred times a second while there is work, so that slow jobs
hold up neither the endings before them nor the leases behind them.
"""

from __future__ import annotations

import os
import random
import threading
import time
import traceback
from collections.abc import Sequence

from penstock.brokers.base import Broker
from penstock.core.decide import INTERRUPTED, dead
from penstock.core.job import Holder, Lease
from penstock.core.outcome import Ending, Outcome
from penstock.errors import StoreError
from penstock.events.emit import Emitter, JobEnded, StoreBack, StoreTrouble
from penstock.pools.base import Pool
from penstock.pools.prefork import PreforkPool
from penstock.pools.threads import ThreadsPool
from penstock.worker import link as message
from penstock.worker.board import Board
from penstock.worker.dispatcher import Dispatcher
from penstock.worker.link import Link
from penstock.worker.runner import Runner

#: Seconds between looks at a queue that seems empty. Rings make them rare; this is for a ring that was lost.
_POLL = (0.8, 1.2)
#: Seconds after which a job counts as slow: what ended before it is handed in, what waits behind it is given back.
_SLOW = 0.01
_SHORTEST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
_HAND_IN_AGAIN = 0.2

POOLS: dict[str, type[Pool]] = {"prefork": PreforkPool, "threads": ThreadsPool}


class Process:
    """Takes and runs jobs.

    Parameters:
        broker: open, and this process's own.
        burst: end when the queues are empty.
        verbose: report the jobs that ended well, too.
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
    ) -> None:
        self._broker = broker
        self._runner = runner
        self._link = link
        self._emitter = emitter
        self._burst = burst
        self._verbose = verbose
        self._wake = threading.Event()
        self._busy = threading.Event()
        self._stopping = False
        self._idle = False
        self._pause = 0.0
        self._dispatcher = Dispatcher(broker, holder, queues, self._report_stale)
        runner.joining = self._dispatcher.joining
        self._inline = pool == "prefork"
        done = self._dispatcher.done if self._inline else self._done
        self._pool = POOLS[pool](slots, self._run, done, board.note)

    def run(self) -> None:
        """Work until stopped, or until the queues are empty where that ends it."""
        threading.Thread(target=self._listen, name="penstock-link", daemon=True).start()
        threading.Thread(target=self._relieve, name="penstock-relief", daemon=True).start()
        while not self._stopping:
            self._wake.clear()
            room = self._pool.room()
            took = self._tick()
            if took is None:
                continue
            if took:
                self._busy.set()
                self._idle = False
                if took >= room:
                    self._link.send(message.MORE)
            if self._dispatcher.waiting or (took and self._inline):
                continue
            if not took and self._burst and self._pool.idle():
                break
            self._rest()
        self._finish()

    def stop(self) -> None:
        """Start no more jobs; `run` returns when those that run have ended."""
        self._stopping = True
        self._pool.stop()
        self._cut_rows(self._pool.running())
        self._wake.set()

    def _tick(self) -> int | None:
        """One exchange; None when the store refused and a pause was made."""
        try:
            took = self._dispatcher.tick(self._pool)
        except StoreError as error:
            self._trouble(error)
            self._wake.wait(self._pause * random.uniform(0.5, 1.0))
            self._pause = min(_LONGEST_PAUSE, self._pause * 2)
            return None
        if self._pause:
            self._pause = 0.0
            self._emitter.emit(StoreBack())
        return took

    def _rest(self) -> None:
        """Nothing to do: say so, and wait for a ring, an ending or the next look."""
        if self._pool.idle():
            self._busy.clear()
        if not self._idle and self._pool.room():
            self._idle = True
            self._link.send(message.IDLE)
        self._wake.wait(random.uniform(*_POLL))

    def _finish(self) -> None:
        """Wait for what runs and hand it in, however long the store refuses: the supervisor's grace ends it."""
        while self._pool.running():
            self._wake.wait(0.05)
            self._wake.clear()
        while not self._relinquish(self._pool.take_back()):
            self._wake.clear()
            self._wake.wait(_HAND_IN_AGAIN)

    def _done(self, outcome: Outcome) -> None:
        self._dispatcher.done(outcome)
        if not self._wake.is_set():
            self._wake.set()

    def _run(self, lease: Lease) -> Outcome:
        began = time.perf_counter()
        try:
            outcome = self._runner.run(lease)
        except BaseException:  # noqa: BLE001
            # Not for the job to be judged by. In a thread it would only end that thread, and the job would hang.
            traceback.print_exc()
            os._exit(1)
        if outcome.ending is not Ending.DONE or outcome.follow_ups or self._verbose:
            self._emitter.emit(JobEnded(outcome, time.perf_counter() - began))
        return outcome

    def _report_stale(self, outcomes: Sequence[Outcome]) -> None:
        self._emitter.emit(StoreTrouble(f"{len(outcomes)} jobs ended too late: they had been given to another worker"))

    def _listen(self) -> None:
        while True:
            commands = self._link.receive()
            if not commands or message.QUIT in commands:
                # Without a supervisor nobody keeps the leases alive: whoever takes the jobs next must not meet this one.
                if commands:
                    self._give_up()
                os._exit(0 if commands else 1)
            if message.STOP in commands:
                self.stop()
                self._relinquish(self._pool.take_back())
            self._idle = False
            self._wake.set()

    def _give_up(self) -> None:
        self._pool.stop()
        unstarted, running = self._pool.take_back(), self._pool.running()
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
        before: set[tuple[int, int]] = set()
        while True:
            self._busy.wait()
            time.sleep(_SLOW)
            running = self._pool.running()
            slow = [lease for lease in running if (lease.key, lease.claim) in before]
            before = {(lease.key, lease.claim) for lease in running}
            self._cut_rows(slow)
            # While a slot is free or quick, what waits is soon run.
            behind = self._pool.take_back() if len(slow) >= self._pool.slots else []
            if behind or (slow and self._dispatcher.waiting):
                self._relinquish(behind)

    def _cut_rows(self, leases: Sequence[Lease]) -> None:
        for lease in leases:
            if lease.packed:
                self._runner.cut(lease)
