"""The pools of many slots: how well they wait, what they cost, and whether one long job holds up short ones."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from benchmarks.enqueue import empty
from benchmarks.figures import AtLeast, Figure, Samples, alone, alternate
from benchmarks.idle import children, pss
from benchmarks.places import NOOP, emptied, folder, fresh_copy, url, watched, worker
from penstock.brokers.sqlite.broker import SqliteBroker
from penstock.client import new_ids
from penstock.core.codec import encode_value
from penstock.core.job import NewJob

_SLOTS = 1000
_WAIT = 0.1
_SETTLE = 3.0
_SLOW = "benchmarks.tasks.slow"


def run(quick: bool) -> list[Figure]:
    """Jobs that wait, idle slots, a long job among short ones, and no-op jobs, each on the pools that it is about."""
    repeats = 3 if quick else 5
    with folder() as place:
        return [
            _waiting(place, "asyncio", "benchmarks.tasks.pause_async", 2_000 if quick else 10_000, repeats),
            _waiting(place, "gevent", "benchmarks.tasks.pause", 2_000 if quick else 10_000, repeats),
            _idle(place, "gevent", repeats),
            _idle(place, "asyncio", repeats),
            _long_one(place, 10_000, repeats),
            *_dispatch(place, 20_000 if quick else 100_000, repeats),
        ]


def _waiting(place: Path, pool: str, task: str, count: int, repeats: int) -> Figure:
    queue = _filled(place / f"waiting-{pool}.db", [(task, (_WAIT,))] * count)
    ideal = count * _WAIT / _SLOTS

    def ours() -> float:
        copy = fresh_copy(queue, place / "ours.db")
        with worker(url(copy), "--pool", pool, "-c", str(_SLOTS)):
            return emptied(copy)

    samples = alternate(repeats, ours, lambda: ideal)
    what = f"{count:,} jobs that wait for {_WAIT * 1000:.0f} ms, {pool} {_SLOTS:,}; raw is the ideal"
    return samples.figure(what, "s", "< 2 x ideal", lambda s: s.ratio < 2)


def _idle(place: Path, pool: str, repeats: int) -> Figure:
    """The whole worker's memory."""

    def size(slots: int) -> float:
        with worker(url(empty(place / "idle.db")), "--pool", pool, "-c", str(slots)) as process:
            time.sleep(_SETTLE)
            return sum(pss(pid) for pid in (process.pid, *children(process.pid)))

    samples = alternate(min(3, repeats), lambda: size(_SLOTS), lambda: size(1))
    over = [many - one for many, one in zip(samples.ours, samples.raw, strict=True)]
    what = f"{_SLOTS:,} idle slots over 1, {pool}: PSS"
    return alone(what, "MB", over, "< 15 MB", lambda size: size < 15)


def _long_one(place: Path, count: int, repeats: int) -> Figure:
    """The time of the no-op jobs alone, on a worker whose two processes are up; raw is without the long job."""
    short: list[tuple[str, tuple[float, ...]]] = [(NOOP, (number,)) for number in range(count)]
    middle = count // 2
    among = [*short[:middle], (_SLOW, (1.0,)), *short[middle:]]
    question = "select exists (select 1 from penstock_running), exists (select 1 from penstock_job where task = ?)"

    def timed(jobs: Sequence[tuple[str, tuple[float, ...]]]) -> float:
        queue = _filled(empty(place / "ours.db"), [("benchmarks.tasks.pause", (0.5,))] * 2)
        with _looking(queue) as connection, worker(url(queue), "-c", "2"):
            for running in (2, 0):
                while connection.execute("select count(*) from penstock_running").fetchone() != (running,):
                    time.sleep(0.002)
            _filled(queue, jobs)
            return watched(lambda: connection.execute(question, (NOOP,)).fetchone())

    samples = alternate(max(5, repeats), lambda: timed(among), lambda: timed(short))
    what = f"{count:,} no-op jobs with one of 1 s among them, prefork 2; raw is without it"
    return samples.figure(what, "s", "< 1.2 x", lambda s: s.ratio < 1.2)


def _dispatch(place: Path, count: int, repeats: int) -> Iterator[Figure]:
    queue = _filled(place / "noop.db", [(NOOP, (number,)) for number in range(count)])

    def rate(*arguments: str) -> float:
        copy = fresh_copy(queue, place / "ours.db")
        with worker(url(copy), *arguments):
            return count / emptied(copy)

    for pool, slots in (("threads", 8), ("asyncio", 100), ("gevent", 100)):
        samples: Samples = alternate(
            repeats, lambda pool=pool, slots=slots: rate("--pool", pool, "-c", str(slots)), lambda: rate("-c", "1")
        )
        what = f"{count:,} no-op jobs, {pool} {slots}; raw is prefork 1"
        yield samples.figure(what, "jobs/s", ">= 0.4", AtLeast(0.4))


def _filled(path: Path, jobs: Sequence[tuple[str, tuple[float, ...]]]) -> Path:
    with closing(SqliteBroker(url(path))) as broker:
        broker.open()
        ids = new_ids(len(jobs))
        broker.enqueue([NewJob(id, task, encode_value(call)) for id, (task, call) in zip(ids, jobs, strict=True)])
    return path


@contextmanager
def _looking(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as connection:
        yield connection
