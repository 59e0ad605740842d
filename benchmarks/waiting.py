"""From a job's end to the return of `job.result()`, in a program that has waited for it since it was sent."""

from __future__ import annotations

import time
from statistics import median

from benchmarks.enqueue import empty
from benchmarks.figures import Figure
from benchmarks.places import folder, url, worker
from benchmarks.stores import stores
from penstock import Penstock

#: Store -> milliseconds at most.
_GOALS = {"SQLite": 2.0, "PostgreSQL": 4.0, "Redis": 2.0}
#: Seconds that the job takes: longer than a poll may be that would hide a wake-up which does not come.
_TAKES = 0.3


def run(quick: bool) -> list[Figure]:
    """Every store."""
    jobs, rounds = (10, 1) if quick else (30, 3)
    with folder() as place:
        figures = [_measured("SQLite", [url(empty(place / "queue.db"))] * rounds, jobs)]
    with stores() as kinds:
        figures += [_measured(store.name, [store.new() for _ in range(rounds)], jobs) for store in kinds]
    return figures


def _measured(name: str, queues: list[str], jobs: int) -> Figure:
    halves = [median(_waits(queue, jobs)) for queue in queues]
    goal = _GOALS.get(name)
    return Figure(
        f"{name}: job's end to the return of job.result(), {jobs} jobs, p50", "ms",
        median(halves), min(halves), max(halves), None, None, None, None, "" if goal is None else f"< {goal:g} ms",
        goal is None or median(halves) < goal,
    )  # fmt: skip


def _waits(queue: str, jobs: int) -> list[float]:
    """Milliseconds of each."""
    app = Penstock(queue)

    @app.task(name="benchmarks.tasks.last")
    def last(seconds: float) -> float:
        raise AssertionError(seconds)

    with worker(queue, "-c", "2"):
        last.delay(0.0).result(timeout=60)
        waits = []
        for _ in range(jobs):
            ended = last.delay(_TAKES).result(timeout=60)
            waits.append((time.monotonic() - ended) * 1000)
    app.close()
    return waits
