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
#: Calls under way at a time, at most, where nothing else is said.
MOST_BATCHES = 4
#: Seconds that a job may wait for others.
MAX_WAIT = 0.05
#: Seconds that 95 % of the calls should stay within.
TARGET = 0.1

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
        _check(size=size, batches=batches)
        _check_seconds(wait=wait)
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
        _check(batches=batches, max_size=max_size, size=steps[0][1] if steps else 0)
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


class Adaptive:
    """Finds the size, and the number of calls at a time, that bring the most through within a time per call.

    **The size** follows additive increase and multiplicative decrease: Chiu and Jain, "Analysis of the increase and decrease algorithms for
    congestion avoidance in computer networks", Computer Networks and ISDN Systems 17 (1989), as Clipper (Crankshaw et al., NSDI
    2017, section 4.3) applies it to batches. A full batch that stays within the target makes the next a little larger, one that does
    not makes it smaller by a tenth, or by as much as it was late. The two steps balance where 5 % of the calls are late. Far below the
    target the size doubles, as TCP's slow start does (RFC 5681). Only full batches count: of others nothing is known (RFC 7661).

    **A target that can't be met** because a call's fixed cost alone takes as long is raised to twice that cost: smaller batches would be
    as slow, and bring less through. The cost is told from the times of small and large batches.

    **The number of calls** is tried: one more, for some full batches. It stays where that brings 4 % more through, by the clock; as does one
    fewer that brings as much. Each trial that fails makes the next one rarer, so that it comes to rest.

    **A batch that is not full** goes at once when no call is under way: John Nagle's rule for small packets (RFC 896). Otherwise it waits
    for that, and no longer than an even spacing of the calls under way asks for, or `max_wait`. So a lone job is written without
    delay, and under load batches fill by themselves.

    Parameters:
        target: seconds that 95 % of the calls should stay within.
        max_size: jobs in a batch, at most.
        max_batches: calls under way at a time, at most.
        max_wait: seconds that a job may wait for others.

    Raises:
        ConfigError: a number below 1, or seconds that are not above 0.
    """

    def __init__(
        self,
        *,
        target: float = TARGET,
        max_size: int = LARGEST,
        max_batches: int = MOST_BATCHES,
        max_wait: float = MAX_WAIT,
    ) -> None:
        _check(max_size=max_size, max_batches=max_batches)
        _check_seconds(max_wait=max_wait)
        if not target > 0:
            raise ConfigError(f"target= is more than 0 seconds, not {target!r}")
        self._size = _Size(target, max_size)
        self._batches = _Batches(max_batches)
        self._max_wait = max_wait
        self._seconds = max_wait
        self.deepest = 0

    def next(self, depth: int, in_flight: int, now: float) -> Plan:
        """The size as it is found so far; a smaller batch only while nothing is under way, or after the wait."""
        wait = min(self._max_wait, self._seconds / self._batches.value) if in_flight > 0 else 0.0
        return Plan(int(self._size.value), wait, self._batches.value)

    def ended(self, size: int, seconds: float, now: float) -> None:
        """Learn from a call."""
        # A clock may stand still between two calls, and what is timed from outside may come out of order.
        seconds = max(seconds, 1e-9)
        self._seconds += _WEIGHT * (seconds - self._seconds)
        full = size >= int(self._size.value * _FULL)
        if not full and now - seconds < self._size.changed_at:
            full = size >= int(self._size.before * _FULL)
        self._size.ended(size, seconds, now, full=full)
        batches = self._batches.value
        self._batches.ended(size, seconds, now, full=full)
        if self._batches.value != batches:
            self._size.scale(batches / self._batches.value, now)


#: The part of the size from which on a batch counts as full: a size may have grown since the batch began.
_FULL = 0.8
#: The factors by which the size shrinks after a late call, the mildest and the hardest.
_SHRINK = 0.9
_SHRINK_MOST = 0.25
#: The part by which it grows after a call in time: where 1 call in 20 is late, 19 steps up make up for one of a tenth down.
_GROW = 0.005
#: Below this part of the time that the target leaves for rows the size is far too small, when so many calls in a row say so, and
#: grows by the factor.
_FAR = 0.45
_FAR_CALLS = 6
_FAR_GROW = 1.5
#: A fixed cost is told from batches of which one is at least so many times as large as the other.
_LEVERAGE = 4
#: The part of a call that its fixed cost may be. Once it is less, larger batches would bring little more through, only later.
_PAID = 1 / 32
#: The weight of a new time in the mean of its size.
_WEIGHT = 0.125
#: By this factor a mean of larger batches must be below that of smaller ones before it is more than chance.
_FASTER = 0.75
#: What `now - seconds` may be off the moment in which a call began.
_ROUNDED = 1e-6
#: A call that took more than this many times as long as foreseen counts as one that took so much.
_JUMP = 8.0
#: The factor by which calls must differ from what was foreseen, and how many in a row, before the sink is taken for another.
_MOVED = 1.5
_IN_A_ROW = 3


class _Size:
    """The size of a batch, by additive increase and multiplicative decrease."""

    def __init__(self, target: float, largest: int) -> None:
        self.value = 1.0
        self.before = 1.0
        self._target = target
        self._largest = largest
        self._step = 1.0
        self._starting = True
        self._far = self._slower = self._faster = 0
        self.changed_at = float("-inf")
        #: The mean size of the batches and the mean seconds of their calls, by the binary logarithm of the size.
        self._times: dict[int, tuple[float, float]] = {}

    def ended(self, size: int, seconds: float, now: float, *, full: bool) -> None:
        mean = self._learn(size, seconds)
        # Calls that began before the last change tell of the size before it: one change for each round trip.
        if not full or now - seconds < self.changed_at:
            return
        fixed, _ = self._line()
        target = max(self._target, 2 * fixed)
        self._far = self._far + 1 if seconds - fixed < (target - fixed) * _FAR else 0
        if seconds > target:
            # One call that was held up says little about the next: how far to go is the mean's to say.
            factor = max(_SHRINK_MOST, min(_SHRINK, target / mean))
            self._starting = False
            self._change(self.value * factor, now)
        elif 0 < fixed < mean * _PAID:
            self._starting = False
        elif self._starting and self._far:
            self._change(self.value * 2, now)
        elif self._far >= _FAR_CALLS:
            self._far = 0
            self._change(self.value * _FAR_GROW, now)
        else:
            self.value = min(self._largest, self.value + self._step)

    def scale(self, factor: float, now: float) -> None:
        """Have as many rows under way as before, in more or fewer calls."""
        self._change(self.value * factor, now)

    def _change(self, size: float, now: float) -> None:
        self.before = self.value
        self.value = max(1.0, min(self._largest, size))
        self.changed_at = now - _ROUNDED
        self._step = max(1.0, self.value * _GROW)

    def _learn(self, size: int, seconds: float) -> float:
        """Note a time; returns the mean of such batches."""
        fixed, each = self._line()
        if each > 0 and (1 << max(self._times)) > size:
            # What slows one size down is taken to slow all, until they are seen: sizes that a jam has no use for would stay as they
            # were before it. Chance does not move them: it takes several calls in a row that are far from what was foreseen.
            times = min(_JUMP, seconds / (fixed + each * size))
            self._slower = self._slower + 1 if times > _MOVED else 0
            self._faster = self._faster + 1 if times < 1 / _MOVED else 0
            if self._slower >= _IN_A_ROW or self._faster >= _IN_A_ROW:
                factor = 1 + 2 * _WEIGHT * (times - 1)
                self._times = {place: (rows, known * factor) for place, (rows, known) in self._times.items()}
        place = max(1, size).bit_length()
        rows, known = self._times.get(place, (size, seconds))
        mean = known + _WEIGHT * (seconds - known)
        self._times[place] = rows + _WEIGHT * (size - rows), mean
        # A smaller batch is no slower than a larger one. Where it is said to be, the saying is old.
        for other, (rows, known) in self._times.items():
            if other < place and known * _FASTER > mean:
                self._times[other] = rows, mean
        return mean

    def _line(self) -> tuple[float, float]:
        """The seconds of a call that do not hang on its size, and those for each job, as far as they are known; 0.0 if not."""
        if not self._times:
            return 0.0, 0.0
        few, least = self._times[min(self._times)]
        here = int(self.value).bit_length()
        many, most = self._times[max((place for place in self._times if place <= here), default=min(self._times))]
        if few < 2 and many < _LEVERAGE:
            return least, 0.0  # of one job and of some: nearly all of it is the call's
        if many < few * _LEVERAGE:
            return 0.0, 0.0
        each = max(0.0, most - least) / (many - few)
        return max(0.0, least - few * each), each


#: Full batches that make a trial of another number of calls at a time, and the gain that it must bring.
_TRIAL = 10
_GAIN = 1.04
_NO_LOSS = 0.98
#: The gain beyond which it is no trial's own.
_GAIN_MOST = 1.1
#: Trials' lengths from the end of one that failed to the next, at first and at most.
_HOLD = 2
_HOLD_MOST = 64
#: A rate that has changed by more than this factor is that of another sink, and all is tried anew.
_OTHER = 1.5
#: A trial begins only where the rate has changed by less than this since the last look.
_STEADY = 1.1


class _Batches:
    """How many calls at a time, by trials that count what came through."""

    def __init__(self, most: int) -> None:
        # All of them: a batch goes beside another only when it is full, so they are used only where one call can't keep up.
        self.value = most
        self._most = most
        self._kept = most
        self._rate = 0.0
        self._hold = self._resting = _HOLD
        self._down = False
        self._from = self._since = float("-inf")
        self._count = self._rows = 0

    def ended(self, size: int, seconds: float, now: float, *, full: bool) -> None:
        if self._most == 1:
            return
        if not full:
            # The load, and not the sink, sets the pace: nothing can be learned, and a trial has no result.
            self.value = self._kept
            self._begin(now)
            return
        if now - seconds < self._from:
            return
        if not self._count:
            self._since = now - seconds
        self._count += 1
        self._rows += size
        if self._count >= _TRIAL * self.value:
            self._judge(self._rows / max(now - self._since, 1e-9), now)

    def _begin(self, now: float) -> None:
        self._from, self._since, self._count, self._rows = now - _ROUNDED, now, 0, 0

    def _judge(self, rate: float, now: float) -> None:
        change = rate / self._rate if self._rate else math.inf
        if self.value != self._kept:
            fewer = self.value < self._kept
            # A trial that does better than its number of calls explains has met a sink that became faster.
            least, most = (_NO_LOSS, _GAIN_MOST) if fewer else (_GAIN, self.value / self._kept * _GAIN_MOST)
            if least < change < most:
                self._kept, self._hold, self._rate = self.value, _HOLD, rate
            else:
                self._down = not fewer
                self._resting, self._hold = self._hold, min(_HOLD_MOST, self._hold * 2)
                self.value = self._kept
        else:
            if not 1 / _OTHER < change < _OTHER:
                self._hold = self._resting = _HOLD
            elif self._resting:
                self._resting -= 1
            elif 1 / _STEADY < change < _STEADY:
                self._down = self._kept == self._most or (self._down and self._kept > 1)
                self.value = self._kept - 1 if self._down else self._kept + 1
            self._rate = rate
        self._begin(now)


def _check(**counts: object) -> None:
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigError(f"{name}= is a whole number, 1 or more, not {value!r}")


def _check_seconds(**seconds: float) -> None:
    for name, value in seconds.items():
        if not 0 <= value < math.inf:
            raise ConfigError(f"{name}= is 0 seconds or more, not {value!r}")
