"""2,100 pages that each take 100 ms, into MongoDB and S3, by one process of 1,000 slots: the whole of examples/scrape."""

from __future__ import annotations

import sys
from importlib import import_module

from benchmarks.figures import Figure, alone
from benchmarks.places import ROOT

_SLOTS = 1000
#: Pages a second, at least.
_GOALS = {"gevent": 500, "asyncio": 600}


def run(quick: bool) -> list[Figure]:
    """Pages a second from the first job sent to the last ended; there is no raw loop that would not be a worker."""
    sys.path.insert(0, str(ROOT / "examples" / "scrape"))
    example = import_module("run")
    count = 600 if quick else 2_100
    found: list[Figure] = []
    with example.places() as stores:
        for way in example.WAYS:
            if way.name in _GOALS:
                took = [example.run(way, count, _SLOTS, *stores) for _ in range(1 if quick else 3)]
                found.append(_figure(way.name, count, [count / seconds for seconds in took]))
    return found


def _figure(pool: str, count: int, rates: list[float]) -> Figure:
    goal = _GOALS[pool]
    what = f"{count:,} pages of 100 ms into MongoDB and S3, {pool} {_SLOTS:,}"
    return alone(what, "pages/s", rates, f">= {goal}", lambda rate: rate >= goal)
