"""Claims beside many other jobs, against claims from a short queue."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

from benchmarks.figures import AtLeast, Figure, alternate
from benchmarks.places import filled, folder, fresh_copy, url
from penstock.brokers import connect
from penstock.core.job import Holder
from penstock.core.outcome import Outcome

_SHORT = 10_000
_LIMIT = 500


def run(quick: bool) -> list[Figure]:
    """Claim and end 10,000 jobs, 500 in an exchange; raw here is a queue of just these 10,000."""
    many = 100_000 if quick else 1_000_000
    repeats = 5 if quick else 15
    with folder() as place:
        short = filled(place / "short.db", _SHORT)
        deep = filled(place / "deep.db", many + _SHORT * (repeats + 1))
        delayed = filled(place / "delayed.db", _SHORT * (repeats + 1), many)
        figures = []
        for path, kind in ((deep, "queued"), (delayed, "delayed beside")):
            _claims(path)

            def ours(path: Path = path) -> float:
                return _claims(path)

            samples = alternate(repeats, ours, lambda: _claims(fresh_copy(short, place / "copy.db")))
            figures.append(
                samples.figure(f"claims with {many:,} {kind}", "jobs/s", ">= 0.9 of a short queue", AtLeast(0.9))
            )
    return figures


def _claims(path: Path) -> float:
    return claims(url(path))


def claims(url: str, count: int = _SHORT) -> float:
    """Jobs per second that are claimed and ended from a queue's URL, of so many."""
    holder = Holder("benchmark")
    with closing(connect(url)) as broker:
        broker.open()
        outcomes: list[Outcome] = []
        began = time.perf_counter()
        for _ in range(count // _LIMIT):
            leases = broker.exchange(outcomes, ("default",), _LIMIT, holder).leases
            outcomes = [Outcome(lease) for lease in leases]
        broker.exchange(outcomes, (), 0, holder)
        return count / (time.perf_counter() - began)
