"""What a process's pool runs: each job to its outcome, and what is to be said about it."""

from __future__ import annotations

import os
import time
import traceback
from typing import NoReturn

from penstock.core.job import Lease
from penstock.core.outcome import Ending, Outcome
from penstock.events.emit import Emitter, JobEnded
from penstock.worker.limits import Limits
from penstock.worker.runner import Runner


class Work:
    """Runs leases, and reports how they ended; what may not end a slot ends the process.

    Parameters:
        verbose: report the jobs that ended well, too.
    """

    def __init__(self, runner: Runner, limits: Limits, emitter: Emitter, *, verbose: bool = False) -> None:
        self._runner = runner
        self._limits = limits
        self._emitter = emitter
        self._verbose = verbose
        self._reported: set[bytes] = set()
        self.is_async = runner.is_async

    def run(self, lease: Lease, slot: int) -> Outcome:
        """See `pools.base.Work`."""
        began = time.perf_counter()
        try:
            outcome = self._runner.run(lease, slot)
        except BaseException:  # noqa: BLE001
            _end()
        # What most jobs come to, without a further call.
        if outcome.ending is Ending.DONE and not (outcome.follow_ups or self._verbose or self._runner.cancelled):
            return outcome
        return self._ended(outcome, began)

    async def run_async(self, lease: Lease, slot: int) -> Outcome:
        """See `pools.base.Work`."""
        began = time.perf_counter()
        try:
            outcome = await self._runner.run_async(lease, slot)
        except BaseException:  # noqa: BLE001
            _end()
        return self._ended(outcome, began)

    def report_now(self, outcome: Outcome, seconds: float) -> None:
        """Report how a job has ended that goes on; how it then ends nobody is told."""
        self._reported.add(outcome.lease.id)
        self._emitter.emit(JobEnded(outcome, seconds))

    def _ended(self, outcome: Outcome, began: float) -> Outcome:
        lease = outcome.lease
        if self._runner.cancelled:
            self._limits.leave(lease)
            self._runner.forget(lease)
        if (
            outcome.ending is not Ending.DONE or outcome.follow_ups or self._verbose
        ) and lease.id not in self._reported:
            self._emitter.emit(JobEnded(outcome, time.perf_counter() - began))
        return outcome


def _end() -> NoReturn:
    """Not for the job to be judged by. In a thread it would only end that thread, and the job would hang."""
    traceback.print_exc()
    os._exit(1)
