"""`penstock move`: from a file to PostgreSQL."""

from __future__ import annotations

import itertools
import time
from contextlib import closing
from pathlib import Path

from benchmarks.enqueue import empty
from benchmarks.figures import Figure, alone
from benchmarks.places import folder, url
from penstock.brokers import connect
from penstock.client import new_ids
from penstock.core.job import NewJob
from penstock.moving import Mover
from penstock.testing.servers import PostgresServer

_GOAL = 20_000
_schemas = itertools.count(1)


def run(quick: bool) -> list[Figure]:
    """All jobs of a queue that nobody works at, with a payload of 48 bytes."""
    count, repeats = (20_000, 3) if quick else (200_000, 5)
    with folder() as place, PostgresServer() as server:
        rates = [_move(place, server.url(), count) for _ in range(repeats)]
    return [alone(f"move of {count:,} jobs, SQLite to PostgreSQL", "jobs/s", rates, "> 20,000", lambda n: n > _GOAL)]


def _move(place: Path, server: str, count: int) -> float:
    origin, target = url(empty(place / "from.db")), f"{server}?schema=moved{next(_schemas)}"
    with closing(connect(origin)) as source, closing(connect(target)) as destination:
        source.open()
        destination.open()
        for start in range(0, count, 1000):
            source.enqueue([NewJob(id, "shop.send", b"p" * 48) for id in new_ids(min(1000, count - start))])
        began = time.perf_counter()
        summary = Mover(source, destination, "the database").run(lambda standing: None)
        seconds = time.perf_counter() - began
    assert (summary.complete, summary.moved) == (True, count)
    return count / seconds
