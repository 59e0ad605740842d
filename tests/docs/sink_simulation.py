"""A sink that is simulated, in given time: for the tests of batch sizes and the plot in docs/explanation/adaptive-batching.md."""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from penstock.core.sizing import Sizing

#: Seconds from one arrival of orders to the next.
TICK = 0.001


@dataclass(frozen=True)
class Sink:
    """A call takes `fixed + rows * each` seconds, times a random factor.

    The fixed part is a wait, a round trip and a commit say; the rows' part is work, and `lanes` calls can have theirs done at once. `slow` is
    the factor of all of it at a time, and 1 % of the calls are held up for three times as long.
    """

    fixed: float = 0.005
    each: float = 8e-6
    lanes: float = 1.0
    jitter: float = 0.15
    slow: Callable[[float], float] = lambda now: 1.0

    def seconds(self, rows: int, in_flight: int, now: float, chance: random.Random) -> float:
        work = rows * self.each * max(1.0, in_flight / self.lanes)
        held_up = 3.0 if chance.random() < 0.01 else 1.0
        return (self.fixed + work) * self.slow(now) * math.exp(chance.gauss(0, self.jitter)) * held_up


@dataclass
class Run:
    """What became of a load: each order's arrival and latency, in groups, each call, and what was seen on the way."""

    #: (arrived at, orders, seconds until they were written, seconds of the call that wrote them)
    orders: list[tuple[float, int, float, float]] = field(default_factory=list)
    #: (began at, orders, seconds)
    calls: list[tuple[float, int, float]] = field(default_factory=list)
    #: (at, depth)
    depths: list[tuple[float, int]] = field(default_factory=list)

    def rate(self, since: float, until: float) -> float:
        """Orders per second in calls that ended within a time."""
        ended = sum(rows for at, rows, seconds in self.calls if since <= at + seconds < until)
        return ended / (until - since)

    def late_calls(self, target: float, since: float) -> float:
        """The part of the calls that took longer."""
        calls = [seconds > target for at, _, seconds in self.calls if at >= since]
        return sum(calls) / max(1, len(calls))

    def latency(self, share: float, since: float = 0.0, until: float = math.inf) -> float:
        """The seconds within which that share of the orders was written."""
        groups = sorted((latency, count) for at, count, latency, _ in self.orders if since <= at < until)
        left = share * sum(count for _, count in groups)
        for latency, count in groups:
            left -= count
            if left <= 0:
                return latency
        return math.inf

    def score(self, bound: float, target: float, window: float = 0.1) -> float:
        """The part of a window's orders that were written within the bound, by a call within the target; the mean of all windows."""
        came: dict[int, int] = {}
        good: dict[int, int] = {}
        for at, count, latency, took in self.orders:
            place = int(at / window)
            came[place] = came.get(place, 0) + count
            good[place] = good.get(place, 0) + count * (latency <= bound and took <= target)
        return sum(good[place] / came[place] for place in came) / len(came)


def simulate(policy: Sizing, sink: Sink, load: Callable[[float], float], seconds: float, seed: int = 1) -> Run:
    """Orders come at `load(now)` per second for so long; those that are not written by then have waited until then, and for ever."""
    chance = random.Random(seed)
    run = Run()
    waiting: deque[list[float]] = deque()
    calls: list[tuple[float, int, float, list[list[float]]]] = []
    depth, owed, now, arrival, number = 0, 0.0, 0.0, 0.0, 0
    while now < seconds:
        if now >= arrival:
            owed += load(now) * TICK
            came = int(owed)
            owed -= came
            if came:
                waiting.append([now, came])
                depth += came
            arrival += TICK
            if number % 10 == 0:
                run.depths.append((now, depth))
            number += 1
        while calls and calls[0][0] <= now:
            end, rows, began, groups = heapq.heappop(calls)
            run.calls.append((began, rows, end - began))
            run.orders += [(at, int(count), end - at, end - began) for at, count in groups]
            policy.ended(rows, end - began, end)
        pause = math.inf
        while depth:
            plan = policy.next(depth, len(calls), now)
            rows = plan.go(depth, len(calls), now - waiting[0][0] + 1e-9)
            if not rows:
                if len(calls) < plan.batches:
                    pause = waiting[0][0] + plan.wait
                break
            took = sink.seconds(rows, len(calls) + 1, now, chance)
            heapq.heappush(calls, (now + took, rows, now, _take(waiting, rows)))
            depth -= rows
        now = min(arrival, pause, calls[0][0] if calls else math.inf)
    lost = [group for call in calls for group in call[3]] + list(waiting)
    run.orders += [(at, int(count), math.inf, math.inf) for at, count in lost]
    return run


def _take(waiting: deque[list[float]], rows: int) -> list[list[float]]:
    """The oldest orders, as groups."""
    groups: list[list[float]] = []
    while rows:
        first = waiting[0]
        taken = min(rows, int(first[1]))
        groups.append([first[0], taken])
        rows -= taken
        first[1] -= taken
        if not first[1]:
            waiting.popleft()
    return groups


def swing(now: float, least: float = 10.0, most: float = 100_000.0, period: float = 10.0) -> float:
    """A load that goes up and down by the power: as long between 10 and 100 as between 10,000 and 100,000."""
    middle = (1 - math.cos(2 * math.pi * now / period)) / 2
    return float(least * (most / least) ** middle)


def slow_down(now: float) -> float:
    """Four times as slow, for four seconds, into the second swing."""
    return 4.0 if 12 <= now < 16 else 1.0


#: A database beside the worker, one far away, and one with many indexes. None of them is known when a size is chosen.
SINKS = {
    "near": Sink(fixed=0.002, each=6e-6, lanes=2, slow=slow_down),
    "far": Sink(fixed=0.04, each=8e-6, lanes=4, slow=slow_down),
    "heavy": Sink(fixed=0.005, each=2.5e-5, lanes=3, slow=slow_down),
}
#: Seconds of a call, and from an order's arrival until it is written.
TARGET, BOUND = 0.1, 0.25
SWINGS = 20.0


def scores(make: Callable[[], Sizing]) -> dict[str, float]:
    """The score of a policy on each sink, over two swings."""
    return {name: simulate(make(), sink, swing, SWINGS).score(BOUND, TARGET) for name, sink in SINKS.items()}
