"""What a task is that takes many jobs in one call, as a worker sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from penstock.batching.collector import SPACING, Collector
from penstock.core.adaptive import Adaptive
from penstock.core.codec import Signature
from penstock.core.decide import Policy
from penstock.core.job import Lease
from penstock.core.joining import Joining
from penstock.core.outcome import Outcome
from penstock.core.sizing import MAX_WAIT, Sizing
from penstock.errors import ConfigError

#: Jobs in one call, at most, where nothing else is said.
MAX_SIZE = 1000
#: Seconds of calls that a writer's jobs are taken for at once: none of them is written again where its ending is lost. Single rows
#: into MongoDB, from a queue in a file, took 2.04 ms of all processors' time so, and 2.33 by 10 ms at a time.
_WRITTEN = 0.025


class Writer(Protocol):
    """What ends its leases itself; a sink's task, say. Called from any slot, several at a time."""

    def bundle(self, leases: Sequence[Lease], joining: Joining | None) -> list[Outcome | Exception]:
        """Write the items of leases; returns their outcomes in order, or their errors. What it raises is the error of all.

        Parameters:
            joining: ends jobs in a transaction of the writer's own; without it, it can join none.
        """

    def row(self, lease: Lease, policy: Policy, joining: Joining | None) -> Outcome:
        """Write a packed row as a whole; `policy` says what becomes of items that fail."""

    def settled(self, ids: Sequence[bytes]) -> None:
        """These jobs have ended, and the store knows. Safe from any thread."""

    def close(self) -> None:
        """Nothing more is written."""


class Sharing:
    """How the jobs of a task share calls.

    Parameters:
        handler: the function, as it is called with a list.
        max_size: jobs in one call, at most.
        max_wait: seconds that a job may wait for others, at most; of the policy's own where there is one.
        sizing: a policy of sizes; `Adaptive` without.
        ordered: jobs with the same gate go one after another, in the order in which they came.

    Raises:
        ConfigError: a size below 1, or a wait below 0.
    """

    def __init__(
        self,
        handler: Signature,
        *,
        max_size: int = MAX_SIZE,
        max_wait: float | None = None,
        sizing: Sizing | None = None,
        ordered: bool = False,
    ) -> None:
        if max_size < 1:
            raise ConfigError(f"max_size= is a whole number of jobs, 1 or more, not {max_size!r}")
        if sizing is not None and max_wait is not None:
            raise ConfigError("a sizing= has a wait of its own: leave max_wait= out")
        self.handler = handler
        self.max_size = max_size
        self.ordered = ordered
        #: Does what the handler would, where there is one.
        self.writer: Writer | None = None
        self._max_wait = max_wait
        self._sizing = sizing
        self._new_sizing(1)

    def collector(self, slots: int) -> Collector:
        """See `collector.Collected`."""
        fill = MAX_WAIT if self._max_wait is None else self._max_wait
        # What a writer writes, it writes once, however late it is handed in: so claims may be as rare as the wait allows.
        spaced = self.writer is not None and self._sizing is None
        spacing = max(SPACING, fill / 2) if spaced else SPACING
        share = 0.0 if self.writer is None else _WRITTEN
        sizing = self._new_sizing(slots)
        return Collector(sizing, self.max_size, slots, fill, ordered=self.ordered, spacing=spacing, share=share)

    def _new_sizing(self, calls: int) -> Sizing:
        if self._sizing is not None:
            return self._sizing
        if self._max_wait is None:
            return Adaptive(max_size=self.max_size, max_batches=calls)
        return Adaptive(max_size=self.max_size, max_batches=calls, max_wait=self._max_wait)
