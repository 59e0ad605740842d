"""Draining a queue of no-op jobs with two processes."""

from __future__ import annotations

from benchmarks import raw
from benchmarks.figures import AtLeast, Figure, alternate
from benchmarks.places import emptied, filled, folder, fresh_copy, url, worker


def run(quick: bool) -> list[Figure]:
    """`penstock worker -c 2`, seen from outside, against the better of one and two raw processes."""
    count = 50_000 if quick else 200_000
    with folder() as place:
        queue = filled(place / "filled.db", count)

        def ours() -> float:
            copy = fresh_copy(queue, place / "ours.db")
            with worker(url(copy), "-c", "2"):
                return count / emptied(copy)

        def bare() -> float:
            return max(raw.drain(fresh_copy(queue, place / "raw.db"), processes) for processes in (1, 2))

        samples = alternate(3 if quick else 5, ours, bare)
    what = f"drain of {count:,} queued no-op jobs, prefork 2"
    return [samples.figure(what, "jobs/s", ">= 0.5 of raw (aim 0.7)", AtLeast(0.5))]
