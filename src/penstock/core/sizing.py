"""How many jobs go into one call of a sink or a batch task, how long to wait for them, and how many calls are under way at a time.

A policy is asked before each call and told of each end. It reads no clock and keeps no timer: whoever collects the jobs passes the
time in, in monotonic seconds. One policy belongs to one collector.
"""

from __future__ import annotations

import math
from typing import Protocol

import msgspec

from penstock.errors import ConfigError

#: Jobs in one call, at most, where nothing else is said.
LARGEST = 10_000
#: Seconds that a job may wait for others.
MAX_WAIT = 0.05

#: The depths from which on a batch is larger, each with the size.
STEPS = ((0, 1), (100, 100), (1000, 500), (10_001, 1000))


class Plan(msgspec.Struct, frozen=True):
    """What to do next.

    Parameters:
        size: jobs in the next batch, at most; 1 or more.
        wait: seconds that the oldest job waits for a batch of fewer to become full; 0 is not at all.
        batches: that may be under way at a time; 1 or more.
    """

    size: int
    wait: float = 0.0
    batches: int = 1

    def go(self, depth: int, in_flight: int, waited: float) -> int:
        """How many jobs to call the sink with now; 0 is to wait for more of them, or for the end of a call.

        Parameters:
            depth: jobs that are there to be taken.
            in_flight: calls under way.
            waited: seconds for which the oldest of those jobs has waited.
        """
        if depth <= 0 or in_flight >= self.batches or (depth < self.size and waited < self.wait):
            return 0
        return min(depth, self.size)


class Sizing(Protocol):
    """A policy of batch sizes."""

    @property
    def deepest(self) -> int:
        """How many jobs that wait in the store it tells from more; 0 where it does not look there."""
        ...

    def next(self, depth: int, in_flight: int, now: float) -> Plan:
        """What to do next, with so many jobs to be taken and so many calls under way. To ask has no effect of its own."""
        ...

    def ended(self, size: int, seconds: float, now: float) -> None:
        """A call with so many jobs took so long, and ended now, well or not."""
        ...


class Fixed:
    """Always the same size; what does not fill a batch goes after a wait.

    Parameters:
        size: jobs in a batch.
        wait: seconds that a job waits for the batch to become full.
        batches: calls under way at a time.

    Raises:
        ConfigError: a size or number below 1, or a wait below 0.
    """

    def __init__(self, size: int, *, wait: float = MAX_WAIT, batches: int = 1) -> None:
        check_counts(size=size, batches=batches)
        check_seconds(wait=wait)
        self._plan = Plan(size, wait, batches)
        self.deepest = 0

    def next(self, depth: int, in_flight: int, now: float) -> Plan:
        """The same plan, whatever there is to do."""
        return self._plan

    def ended(self, size: int, seconds: float, now: float) -> None:
        """Nothing is learned."""


class ByDepth:
    """The size from a table of queue depths: the deeper, the larger, and never a wait.

    | jobs waiting | size |
    | --- | --- |
    | fewer than 100 | 1 |
    | 100 to 999 | 100 |
    | 1,000 to 10,000 | 500 |
    | more than 10,000 | 1,000 |

    Parameters:
        steps: pairs of a depth and the size from that depth on; the first begins at 0, and both grow.
        batches: calls under way at a time.
        max_size: no size above this, whatever the table says.

    Raises:
        ConfigError: a table in which something does not grow, or a number below 1.
    """

    def __init__(
        self, steps: tuple[tuple[int, int], ...] = STEPS, *, batches: int = 1, max_size: int = LARGEST
    ) -> None:
        check_counts(batches=batches, max_size=max_size, size=steps[0][1] if steps else 0)
        depths, sizes = [depth for depth, _ in steps], [size for _, size in steps]
        if depths[0] != 0 or depths != sorted(set(depths)) or sizes != sorted(sizes):
            raise ConfigError(f"steps= are pairs of a depth and a size, from depth 0 on, and both grow, not {steps!r}")
        self.deepest = depths[-1]
        self._plans = [(depth, Plan(min(size, max_size), 0.0, batches)) for depth, size in reversed(steps)]

    def next(self, depth: int, in_flight: int, now: float) -> Plan:
        """The plan of the depth."""
        return next((plan for least, plan in self._plans if depth >= least), self._plans[-1][1])

    def ended(self, size: int, seconds: float, now: float) -> None:
        """Nothing is learned."""


def check_counts(**counts: object) -> None:
    """Raise `ConfigError` for what is not a whole number of 1 or more."""
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigError(f"{name}= is a whole number, 1 or more, not {value!r}")


def check_seconds(**seconds: float) -> None:
    """Raise `ConfigError` for what is not 0 seconds or more."""
    for name, value in seconds.items():
        if not 0 <= value < math.inf:
            raise ConfigError(f"{name}= is 0 seconds or more, not {value!r}")
