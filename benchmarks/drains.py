"""Draining a queue of no-op jobs with two processes, on each server."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.figures import AtLeast, Figure, alternate
from benchmarks.stores import NAMES, RedisStore, Store, drained, filled, store

#: Of the raw loop's rate, at least.
_GOALS = {
    "PostgreSQL": (0.5, ">= 0.5 of raw (aim 0.7)"),
    "MongoDB": (0.6, ">= 0.6 of raw"),
    "Redis": (0.2, ">= 0.2 of raw (aim 0.3)"),
    "RabbitMQ": (0.5, ">= 0.5 of raw"),
}


def run(quick: bool) -> Iterator[Figure]:
    """`penstock worker -c 2`, seen from outside, against the better of one and two raw processes."""
    for name in NAMES:
        # One server at a time: those that rest take their part of two cores as well.
        with store(name) as kind:
            yield _drain(kind, quick)


def _drain(kind: Store, quick: bool) -> Figure:
    count = 20_000 if quick else 200_000 if isinstance(kind, RedisStore) else 100_000

    def ours() -> float:
        return count / drained(kind, filled(kind.new(), count))

    def raw() -> float:
        return max(kind.raw(count, processes) for processes in (1, 2))

    samples = alternate(2 if quick else 5, ours, raw)
    ratio, goal = _GOALS[kind.name]
    return samples.figure(f"{kind.name}: drain of {count:,} no-op jobs, prefork 2", "jobs/s", goal, AtLeast(ratio))
