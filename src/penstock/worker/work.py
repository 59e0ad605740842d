"""What a process's pool runs: each job to its outcome, and what is to be said about it."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable
from typing import NoReturn

from penstock.core.bundle import unbundled
from penstock.core.job import Lease
from penstock.core.outcome import Ending, Outcome
from penstock.events.emit import BatchEnded, Emitter, JobEnded
from penstock.worker.limits import Limits
from penstock.worker.runner import Runner

#: Is told of a call that jobs have shared: their task, how many they were, what it took, and when it ended, both in
#: monotonic seconds.
Called = Callable[[str, int, float, float], None]

#: Seconds until it is said again that the database of a sink is away.
_SILENCE = 60.0


class Work:
    """Runs leases, and reports how they ended; what may not end a slot ends the process.

    Parameters:
        seconds: tells for how long the job in a slot has run.
        called: is told of each call that jobs have shared.
        verbose: report the jobs that ended well, too.
    """

    def __init__(
        self,
        runner: Runner,
        limits: Limits,
        emitter: Emitter,
        seconds: Callable[[int], float],
        called: Called,
        *,
        verbose: bool = False,
    ) -> None:
        self._runner = runner
        self._seconds = seconds
        self._called = called
        self._limits = limits
        self._emitter = emitter
        self._verbose = verbose
        self._reported: set[bytes] = set()
        self._silent_until: dict[str, float] = {}
        self.is_async = runner.is_async

    def run(self, lease: Lease, slot: int) -> Outcome:
        """See `pools.base.Work`."""
        try:
            outcome = self._runner.run(lease, slot)
        except BaseException:  # noqa: BLE001
            _end()
        # What most jobs come to, without a further call.
        if outcome.ending is Ending.DONE and not (
            outcome.follow_ups or lease.packed or self._verbose or self._runner.cancelled
        ):
            return outcome
        return self._ended(outcome, slot)

    async def run_async(self, lease: Lease, slot: int) -> Outcome:
        """See `pools.base.Work`."""
        try:
            outcome = await self._runner.run_async(lease, slot)
        except BaseException:  # noqa: BLE001
            _end()
        return self._ended(outcome, slot)

    def report_now(self, outcome: Outcome, seconds: float) -> None:
        """Report how a job has ended that goes on; how it then ends nobody is told."""
        self._reported.add(outcome.lease.id)
        self._report(outcome, seconds)

    def _ended(self, outcome: Outcome, slot: int) -> Outcome:
        lease, seconds = outcome.lease, self._seconds(slot)
        if outcome.parts and not lease.crashes:
            self._called(lease.task, lease.items, seconds, time.monotonic())
        if lease.packed and self._runner.shares_calls(lease.task):
            failed = outcome.follow_ups or any(part.failure is not None for part in outcome.parts)
            self._emitter.emit(BatchEnded(lease.task, lease.items, seconds, not failed))
        if self._runner.cancelled:
            self._limits.leave(lease)
            for each in unbundled([lease]):
                self._runner.forget(each)
        if lease.id not in self._reported:
            self._report(outcome, seconds)
        return outcome

    def _report(self, outcome: Outcome, seconds: float) -> None:
        """Report how jobs ended: of those that shared a call, each kind of end once."""
        first: dict[tuple[Ending, str], Outcome] = {}
        alike: dict[tuple[Ending, str], int] = {}
        for part in outcome.parts or (outcome,):
            if part.ending is Ending.DONE and not (part.follow_ups or self._verbose):
                continue
            kind = part.ending, "" if part.failure is None else part.failure.kind
            first.setdefault(kind, part)
            alike[kind] = alike.get(kind, -1) + 1
        for kind, part in first.items():
            if kind[0] is Ending.SNOOZE and part.failure is not None and not self._verbose:
                # The database is away: the same would be said of every call, for as long as that lasts.
                now = time.monotonic()
                if now < self._silent_until.get(part.lease.task, now):
                    continue
                self._silent_until[part.lease.task] = now + _SILENCE
            self._emitter.emit(JobEnded(part, seconds, alike[kind]))


def _end() -> NoReturn:
    """Not for the job to be judged by. In a thread it would only end that thread, and the job would hang."""
    traceback.print_exc()
    os._exit(1)
