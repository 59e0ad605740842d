"""The policy that finds the size of a batch, and the number of calls at a time, by itself."""

from __future__ import annotations

import math
from collections.abc import Sequence

from penstock.core.sizing import LARGEST, MAX_WAIT, Plan, check_counts, check_seconds
from penstock.errors import ConfigError

#: Calls under way at a time, at most, where nothing else is said.
MOST_BATCHES = 4
#: Seconds that 95 % of the calls should stay within.
TARGET = 0.1


class Adaptive:
    """Finds the size, and the number of calls at a time, that bring the most through within a time per call.

    **The size** follows additive increase and multiplicative decrease: Chiu and Jain, "Analysis of the increase and decrease algorithms for
    congestion avoidance in computer networks", Computer Networks and ISDN Systems 17 (1989), as Clipper (Crankshaw et al., NSDI
    2017, section 4.3) applies it to batches. A full batch that stays within the target makes the next a little larger, one that does
    not makes it smaller by a tenth, or by as much as it was late. The two steps balance where 5 % of the calls are late. Far below the
    target the size doubles, as TCP's slow start does (RFC 5681). Only full batches count: of others nothing is known (RFC 7661).

    **A target that can't be met** because a call's fixed cost alone takes as long is raised to twice that cost: smaller batches would be
    as slow, and bring less through. The cost is told from the times of small and large batches, by the mean of their logarithms, since on a
    busy machine few calls take many times as long as others. Nor does a late call shrink the size below the one whose rows take as long as the
    cost. When calls are late, and else seldom, one batch of an eighth of the size goes to see whether small ones are quicker at all.

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
        check_counts(max_size=max_size, max_batches=max_batches)
        check_seconds(max_wait=max_wait)
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
        return Plan(int(self._size.next), wait, self._batches.value)

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
#: The weight of a new time in the mean of all.
_WEIGHT = 0.125
#: Times that make the mean of a size, at most.
_WEIGHT_MOST = 8.0
#: What `now - seconds` may be off the moment in which a call began.
_ROUNDED = 1e-6
#: A probe is a batch of this part of the size. One goes with every so many late calls, and with every so many in any case: what
#: small batches take must not be an old saying when sizes hang on it.
_PROBE = 1 / 8
_PROBE_LATE = 4
_PROBE_CALLS = 128
#: Calls after which what was seen counts half.
_FRESH = 32


class _Size:
    """The size of a batch, by additive increase and multiplicative decrease."""

    def __init__(self, target: float, largest: int) -> None:
        self.value = 1.0
        self.before = 1.0
        self._target = target
        self._largest = largest
        self._step = 1.0
        self._starting = True
        self._far = 0
        self.changed_at = float("-inf")
        #: By the binary logarithm of the size.
        self._times: dict[int, _Times] = {}
        self._calls = self._late = 0
        self._probed_at = 0
        self._probing = False

    @property
    def next(self) -> float:
        """The size of the next batch: now and then a small one, to see whether small ones are quicker."""
        return max(1.0, self.value * _PROBE) if self._probing else self.value

    def ended(self, size: int, seconds: float, now: float, *, full: bool) -> None:
        mean = self._learn(size, seconds)
        if self._probing and size <= max(1.0, self.value * _PROBE):
            self._probing, self._probed_at, self._late = False, self._calls, 0
        # Calls that began before the last change tell of the size before it: one change for each round trip.
        if not full or now - seconds < self.changed_at:
            return
        fixed, each = self._line()
        target = max(self._target, 2 * fixed)
        self._far = self._far + 1 if seconds - fixed < (target - fixed) * _FAR else 0
        if self.value * _PROBE >= 2 and self._calls - self._probed_at >= _PROBE_CALLS:
            self._probing = True
        if seconds > target:
            self._late += 1
            self._probing = self._probing or (self._late >= _PROBE_LATE and self.value * _PROBE >= 1)
            # One call that was held up says little about the next: how far to go is the mean's to say.
            factor = max(_SHRINK_MOST, min(_SHRINK, target / mean))
            self._starting = False
            # Below the size whose rows take as long as the call itself, little time is to be won and much work to be lost.
            knee = self.value if fixed > each * self.value else fixed / each if each > 0 else 1.0
            self._change(max(self.value * factor, knee), now)
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
        self._calls += 1
        # A batch of none takes what the call takes, as one of one does.
        size = max(1, size)
        place = size.bit_length()
        known = self._times.get(place)
        if known is None:
            known = self._times[place] = _Times(size, math.log(seconds), 0.0, self._calls)
        known.learn(size, seconds, self._calls)
        return math.exp(known.mean)

    def _line(self) -> tuple[float, float]:
        """The seconds of a call that do not hang on its size, and those for each job, as far as they are known; 0.0 if not."""
        if not self._times:
            return 0.0, 0.0
        here = int(self.value).bit_length()
        near = [place for place in self._times if abs(place - here) <= 1]
        many, most = self._pool(near or [min(self._times, key=lambda place: abs(place - here))])
        small = [place for place, times in self._times.items() if place < here - 1 and times.rows * _LEVERAGE <= many]
        if not small:
            # Of one job and of some: nearly all of it is the call's.
            few, least = self._pool([min(self._times)])
            return (least, 0.0) if few < 2 and many < 2 * _LEVERAGE else (0.0, 0.0)
        few, least = self._pool(small)
        each = max(0.0, most - least) / (many - few)
        return max(0.0, least - few * each), each

    def _pool(self, places: Sequence[int]) -> tuple[float, float]:
        """The mean size and seconds of what was seen at some places, of late above all."""
        rows = mean = weights = 0.0
        for place in places:
            times = self._times[place]
            weight = times.count * 0.5 ** ((self._calls - times.seen) / _FRESH)
            rows += weight * times.rows
            mean += weight * times.mean
            weights += weight
        if not weights:
            return 0.0, 0.0
        return rows / weights, math.exp(mean / weights)


class _Times:
    """What calls with batches of about one size have taken.

    The mean is that of the logarithms: what a few calls have waited for in vain moves it little.
    """

    __slots__ = ("count", "mean", "rows", "seen")

    def __init__(self, rows: float, mean: float, count: float, seen: int) -> None:
        self.rows = rows
        self.mean = mean
        self.count = count
        self.seen = seen

    def learn(self, size: int, seconds: float, call: int) -> None:
        """Note a time."""
        self.count = min(_WEIGHT_MOST, self.count * 0.5 ** ((call - self.seen) / _FRESH) + 1)
        self.rows += (size - self.rows) / self.count
        self.mean += (math.log(seconds) - self.mean) / self.count
        self.seen = call


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
