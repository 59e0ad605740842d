"""A thousand schedules that are due at the same second, and ten thousand that are not due at all."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median, quantiles

from benchmarks.enqueue import empty
from benchmarks.figures import Figure, alternate
from benchmarks.idle import children, cpu
from benchmarks.places import folder, url, worker
from benchmarks.stores import stores
from benchmarks.tasks import STAMP
from penstock import Penstock
from penstock.brokers.timetable import Timetable
from penstock.core.decide import JobOptions
from penstock.core.job import NewJob
from penstock.core.schedule import Schedule, of_job

_AT_ONCE = 1000
_EVERY = 10
#: Rules that are due at the same seconds, in zones of their own: what they follow is worked out for each.
_RULES = (
    {"every": float(_EVERY)},
    *({"cron": f"*/{_EVERY} * * * * *", "tz": tz} for tz in ("UTC", "Europe/Paris", "Asia/Tokyo")),
)
#: Seconds after a due time by which everything that was due has run.
_DONE_BY = 6.0
_LIMIT = 200.0
_MANY = 10_000
_SETTLE = 3.0


def run(quick: bool) -> list[Figure]:
    """Every store; that which idles is SQLite's."""
    rounds = 1 if quick else 5
    with folder() as place:
        stamps = place / "stamps"
        figures = [_late("SQLite", url(empty(place / "queue.db")), stamps, rounds), _idle(place, quick)]
        with stores() as kinds:
            figures += [_late(store.name, store.new(), stamps, rounds) for store in kinds]
    return figures


def _late(name: str, queue: str, stamps: Path, rounds: int) -> Figure:
    """From a due time to the first line of the task."""
    stamps.write_bytes(bytes(STAMP.size * _AT_ONCE))
    app = Penstock(queue)
    task = app.task(name="benchmarks.tasks.stamp")(_stamp)
    tails: list[float] = []
    with worker(queue, "-c", "2", stamps=stamps):
        task.delay(0)
        _wait_for_a_stamp(stamps)
        with app.client.broker() as broker:
            Timetable(broker.schedules()).declare([_schedule(task.job((n,), {}), n) for n in range(_AT_ONCE)])
        for _ in range(rounds):
            due = (time.time() // _EVERY + 1) * _EVERY
            time.sleep(due + _DONE_BY - time.time())
            # The moment at which it was due, by the clock that the task looks at.
            began = due - time.time() + time.monotonic()
            late = [(STAMP.unpack_from(stamps.read_bytes(), n * STAMP.size)[0] - began) * 1000 for n in range(_AT_ONCE)]
            if min(late) < 0:
                raise SystemExit(
                    f"{name}: {sum(each < 0 for each in late)} runs had not begun {_DONE_BY:g} s after they were due"
                )
            tails.append(quantiles(late, n=100)[98])
    app.close()
    return Figure(
        f"{name}: due to start, {_AT_ONCE:,} schedules at once, p99", "ms", median(tails), min(tails), max(tails), None, None, None, None,
        f"< {_LIMIT:g} ms", median(tails) < _LIMIT,
    )  # fmt: skip


def _schedule(job: NewJob, number: int) -> Schedule:
    return of_job(job, JobOptions(), f"schedule {number}", **_RULES[number % len(_RULES)])


def _wait_for_a_stamp(stamps: Path) -> None:
    deadline = time.monotonic() + 30
    while not STAMP.unpack_from(stamps.read_bytes())[0]:
        if time.monotonic() > deadline:
            raise SystemExit("a job did not start within 30 s")
        time.sleep(0.01)


def _idle(place: Path, quick: bool) -> Figure:
    """What an idle worker costs beside schedules that are due in a year, over what it costs without any."""
    seconds = 5 if quick else 10
    samples = alternate(1 if quick else 3, lambda: _share(place, _MANY, seconds), lambda: _share(place, 0, seconds))
    what = f"idle worker beside {_MANY:,} schedules: CPU over {seconds} s"
    return samples.figure(what, "% of a core", "< 0.5 %", lambda found: median(found.ours) < 0.5)


def _share(place: Path, schedules: int, seconds: float) -> float:
    queue = url(empty(place / "idle.db"))
    app = Penstock(queue)
    with app.client.broker() as broker:
        Timetable(broker.schedules()).declare(
            [
                Schedule(f"schedule {n}", "benchmarks.tasks.noop", b"\x91\x00", cron="0 0 1 1 *")
                for n in range(schedules)
            ]
        )
    app.close()
    with worker(queue, "-c", "2") as process:
        time.sleep(_SETTLE)
        pids = [process.pid, *children(process.pid)]
        before = cpu(pids)
        time.sleep(seconds)
        return (cpu(pids) - before) / seconds * 100


def _stamp(number: int) -> None:
    """Stands for the task of that name that the worker runs."""
    raise AssertionError(number)
