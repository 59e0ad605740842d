"""Who enqueues: `python -m benchmarks.soak.producer bulk COUNT PER_SECOND`, or `... probes COUNT PER_SECOND`, at an even rate.

Each is open-loop: what a slow store kept back is sent as soon as it lets.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator

from benchmarks.soak.app import app, place, probe, work
from benchmarks.soak.marks import DELAYED, EACH, Count, Probes

#: Seconds between two sendings, jobs of one at most, and seconds by which some are delayed.
_EVERY, _AT_ONCE, _DELAY = 0.1, 2_000, 5.0


def bulk(count: int, per_second: float) -> None:
    """So many jobs, some hundred at once."""
    sent, later = Count(place() / "sent"), work.options(delay=_DELAY)
    for first, end in _due(count, per_second, _EVERY, _AT_ONCE):
        numbers = range(first, end)
        work.delay_many([(number,) for number in numbers if number % EACH != DELAYED])
        delayed = [(number,) for number in numbers if number % EACH == DELAYED]
        if delayed:
            later.delay_many(delayed)
        sent.value = end


def probes(count: int, per_second: float) -> None:
    """So many probes, one by one."""
    sent, times = Count(place() / "probed"), Probes(place() / "probes")
    for number, end in _due(count, per_second, 0.5 / per_second, 1):
        times.send(number, time.monotonic())
        probe.delay(number)
        sent.value = end


def _due(count: int, per_second: float, every: float, most: int) -> Iterator[tuple[int, int]]:
    """The ranges of what is to be sent, each when it is due; not in step with what else goes on."""
    began, first = time.monotonic(), 0
    while first < count:
        end = min(count, int((time.monotonic() - began) * per_second), first + most)
        if end > first:
            yield first, end
            first = end
        else:
            time.sleep(every * random.uniform(0.5, 1.5))


if __name__ == "__main__":
    {"bulk": bulk, "probes": probes}[sys.argv[1]](int(sys.argv[2]), float(sys.argv[3]))
    app.close()
