"""A large group with a callback beside the same jobs without, the steps of a chain, and a map-reduce."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from typing import NamedTuple

from benchmarks.figures import AtLeast, Figure, alone, alternate
from benchmarks.places import cleared, emptied, fill, folder, fresh_copy, url, watched, worker
from benchmarks.stores import MongoStore, PostgresStore, RedisStore, Store
from benchmarks.tasks import app, noop
from benchmarks.words import measure
from penstock import chain, chord
from penstock.brokers import connect
from penstock.testing.servers import MongoServer, PostgresServer, RedisServer

#: What a step of a chain may take at an idle worker of SQLite or Redis, in milliseconds.
_STEP = 3.0


class Goal(NamedTuple):
    """Of the rate of the same jobs alone, what a group is to reach; and what a step of a chain may take at an idle worker, in milliseconds."""

    ratio: float
    step: float


#: On MongoDB an end that counts takes commands of its own, and a step of a chain sixteen.
_POSTGRES, _MONGO = Goal(0.7, 6.0), Goal(0.4, 15.0)


def run(quick: bool) -> list[Figure]:
    """On SQLite, PostgreSQL and MongoDB; the chain on Redis too, the map-reduce on SQLite."""
    count, steps, repeats = (20_000, 200, 3) if quick else (100_000, 1_000, 5)
    with folder() as place:
        plain, grouped = place / "plain.db", place / "grouped.db"
        with closing(connect(url(plain))) as broker:
            fill(broker, count)
        with app.elsewhere(url(grouped)):
            chord([noop.si(number) for number in range(count)], noop.si(0)).delay()

        def drained(source: str) -> Callable[[], float]:
            def drain() -> float:
                copy = fresh_copy(place / f"{source}.db", place / "copy.db")
                with worker(url(copy), "-c", "2"):
                    return count / emptied(copy)

            return drain

        samples = alternate(repeats, drained("grouped"), drained("plain"))
        times = [_chained(url(cleared(place / "chain.db")), steps) for _ in range(repeats)]
    what = f"SQLite: drain of a group of {count:,} no-op jobs with a callback, beside the same jobs alone, prefork 2"
    step = f"SQLite: a step of a chain of {steps:,}, idle worker"
    figures = [
        samples.figure(what, "jobs/s", ">= 0.7 of the jobs alone", AtLeast(0.7)),
        alone(step, "ms", times, f"< {_STEP:g} ms", lambda middle: middle < _STEP),
    ]
    with PostgresServer() as postgres:
        figures += _on_server(PostgresStore(postgres), count, steps, repeats, _POSTGRES)
    with MongoServer(cache=1 << 30) as mongo:
        figures += _on_server(MongoStore(mongo), count // 5, steps, repeats, _MONGO)
    return [*figures, _on_redis(steps, repeats), measure(quick)]


def _on_server(store: Store, count: int, steps: int, repeats: int, goal: Goal) -> list[Figure]:
    def drained(*, grouped: bool) -> float:
        where = store.new()
        if grouped:
            with app.elsewhere(where):
                chord([noop.si(number) for number in range(count)], noop.si(0)).delay()
        else:
            with closing(connect(where)) as broker:
                fill(broker, count)
        with store.look(where) as look, worker(where, "-c", "2"):
            return count / watched(look)

    samples = alternate(repeats, lambda: drained(grouped=True), lambda: drained(grouped=False))
    times = [_chained(store.new(), steps) for _ in range(repeats)]
    what = (
        f"{store.name}: drain of a group of {count:,} no-op jobs with a callback, beside the same jobs alone, prefork 2"
    )
    step = f"{store.name}: a step of a chain of {steps:,}, idle worker"
    return [
        samples.figure(what, "jobs/s", f">= {goal.ratio:g} of the jobs alone", AtLeast(goal.ratio)),
        alone(step, "ms", times, f"< {goal.step:g} ms", lambda middle: middle < goal.step),
    ]


def _on_redis(steps: int, repeats: int) -> Figure:
    with RedisServer() as server:
        store = RedisStore(server)
        times = [_chained(store.new(), steps) for _ in range(repeats)]
    what = f"Redis: a step of a chain of {steps:,}, idle worker"
    return alone(what, "ms", times, f"< {_STEP:g} ms", lambda middle: middle < _STEP)


def _chained(where: str, steps: int) -> float:
    """Milliseconds that a step takes."""
    with app.elsewhere(where), worker(where, "-c", "1"):
        chain(noop.si(0) for _ in range(20)).delay().result()
        began = time.perf_counter()
        chain(noop.si(0) for _ in range(steps)).delay().result()
        return (time.perf_counter() - began) / steps * 1e3
