"""PostgreSQL and MongoDB as brokers: what SQLite is measured by in the other subjects, and what only a server suffers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from statistics import median

from benchmarks.depth import claims
from benchmarks.figures import AtLeast, Figure, Samples, alone, alternate
from benchmarks.latency import waits
from benchmarks.places import NOOP, folder, watched, worker
from benchmarks.stores import MongoStore, PostgresStore, RabbitStore, RedisStore, Store, drained, filled, stores
from penstock import Penstock
from penstock.brokers import connect

#: How long half the jobs may wait on an idle worker, in milliseconds.
_WAIT = {"PostgreSQL": 4.0, "MongoDB": 8.0, "Redis": 1.5, "RabbitMQ": 4.0}


def run(quick: bool) -> Iterator[Figure]:
    """Every figure, store by store."""
    with folder() as place, stores() as kinds:
        for store in kinds:
            if isinstance(store, MongoStore):
                yield _against_one_by_one(store, quick)
            if isinstance(store, PostgresStore):
                yield _beside_a_transaction(store, quick)
            if isinstance(store, RedisStore):
                yield _memory(store, quick)
            yield _latency(store, place, quick)
            # RabbitMQ leaves batches to its backend, and looks for nothing among its messages.
            if not isinstance(store, RabbitStore):
                yield _map(store, quick)
                yield _depth(store, quick)


def _against_one_by_one(store: MongoStore, quick: bool) -> Figure:
    count, few = (20_000, 500) if quick else (100_000, 2_000)

    def ours() -> float:
        return count / drained(store, filled(store.new(), count))

    samples = alternate(1 if quick else 5, ours, lambda: store.raw(few, 1, "one"))
    what = f"{store.name}: drain, against a loop of find_one_and_update one by one"
    return samples.figure(what, "jobs/s", ">= 20 times raw", AtLeast(20))


def _beside_a_transaction(store: PostgresStore, quick: bool) -> Figure:
    """The rate at which jobs are drained after 500,000 others, beside a transaction that is open all the time."""
    import psycopg

    part, between = (10_000, 2) if quick else (50_000, 10)
    ratios: list[float] = []
    for _ in range(1 if quick else 3):
        url = store.new()
        filled(url, 0)
        with psycopg.connect(store.server.url()) as held:
            held.execute("set transaction isolation level repeatable read")
            held.execute("select count(*) from pg_class")
            rates = [part / drained(store, filled(url, part)) for _ in range(between + 2)]
        ratios.append(rates[-1] / rates[0])
    what = f"{store.name}: drain beside an open transaction, after {part * between:,} jobs"
    return alone(what, "of the first rate", ratios, ">= 0.7", lambda ratio: ratio >= 0.7)


def _memory(store: RedisStore, quick: bool) -> Figure:
    """What a job of an empty payload takes while it waits."""
    count, sizes = 20_000 if quick else 200_000, list[float]()
    for _ in range(1 if quick else 3):
        before = store.memory()
        filled(store.new(), count)
        sizes.append((store.memory() - before) / count)
    return alone(
        f"{store.name}: memory of {count:,} queued no-op jobs", "bytes each", sizes, "< 256", lambda size: size < 256
    )


def _map(store: Store, quick: bool) -> Figure:
    count = 200_000 if quick else 1_000_000
    rates: list[float] = []
    for _ in range(2 if quick else 5):
        url = store.new()
        with closing(Penstock(url)) as app:
            app.task(name=NOOP)(_noop).map(range(count))
        with store.look(url) as look, worker(url, "-c", "2"):
            rates.append(count / watched(look))
    what = f"{store.name}: .map of {count:,} no-op items, run"
    return alone(what, "items/s", rates, ">= 200,000", lambda rate: rate >= 2e5)


def _noop(number: int) -> None:
    """Stands for the task of that name that the worker runs."""
    raise AssertionError(number)


def _latency(store: Store, place: Path, quick: bool) -> Figure:
    jobs = 100 if quick else 300
    halves = [median(waits(store.new(), place / "stamps", jobs)) for _ in range(1 if quick else 3)]
    limit = _WAIT[store.name]
    what = f"{store.name}: enqueue to start, idle worker, {jobs} jobs at 50/s, p50"
    return alone(what, "ms", halves, f"< {limit:g} ms", lambda wait: wait < limit)


def _depth(store: Store, quick: bool) -> Figure:
    """Claims with many others queued and delayed, against claims from a short queue."""
    many = 100_000 if quick else 1_000_000
    repeats = 3 if quick else 9
    deep = filled(store.new(), many + 10_000 * (repeats + 1), many)
    claims(deep)
    time.sleep(1)

    def short() -> float:
        return claims(filled(store.new(), 10_000))

    samples: Samples = alternate(repeats, lambda: claims(deep), short)
    with closing(connect(deep)) as broker:
        broker.open()
        broker.purge("default")
    what = f"{store.name}: claims with {many:,} queued and {many:,} delayed"
    return samples.figure(what, "jobs/s", ">= 0.85 of 10,000 queued", AtLeast(0.85))
