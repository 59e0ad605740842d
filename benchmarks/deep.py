"""`python -m benchmarks.deep [--jobs N] [--on STORE] [--json]`: a very deep queue on each store beside a short one."""

from __future__ import annotations

import argparse
import itertools
import mmap
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from benchmarks.__main__ import show
from benchmarks.depth import claims
from benchmarks.figures import AtLeast, Figure, Samples, alone, alternate
from benchmarks.latency import until_stamped
from benchmarks.places import ROOT, fill, folder, url, worker
from benchmarks.stores import MongoStore, PostgresStore, RedisStore
from benchmarks.tasks import STAMP
from penstock.brokers import connect
from penstock.client import new_ids
from penstock.core.codec import encode_value
from penstock.core.job import NewJob
from penstock.testing.servers import MongoServer, PostgresServer, RedisServer

#: Jobs that are claimed and ended at once, at most; and the part of all that they may be.
_DRAINED, _PART = 100_000, 0.1
_ROUNDS = 5
#: What people ask of a store while they wait for the answer, and the seconds that it may take.
_COMMANDS = (
    (("status",), 1.0),
    (("jobs", "--limit", "50"), 1.0),
    (("jobs", "--state", "running"), 1.0),
    (("jobs", "--state", "delayed"), 1.0),
)


class Kind(NamedTuple):
    """One kind of store: new queues, and the bytes that a queue's store takes."""

    new: Callable[[], str]
    size: Callable[[str], int]


def main() -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.deep", description=main.__doc__)
    parser.add_argument("--jobs", type=int, default=10_000_000, help="queued (default: 10,000,000)")
    parser.add_argument("--on", action="append", choices=_KINDS, help="this store; may be given again; all without")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args()
    if given.jobs < 10_000:
        parser.error("--jobs: with fewer than 10,000 there is nothing to see")
    # Ended from outside, the servers end as well.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    figures: list[Figure] = []
    with folder() as place:
        for name in given.on or _KINDS:
            print(f"{name} ...", file=sys.stderr, flush=True)
            with _KINDS[name](place) as kind:
                for figure in _figures(name, kind, place, given.jobs):
                    print(f"  {figure.what}: {figure.measured:,.4g} {figure.unit}", file=sys.stderr, flush=True)
                    figures.append(figure)
    show(figures, as_json=given.json)
    return 0


def _figures(name: str, kind: Kind, place: Path, jobs: int) -> Iterator[Figure]:
    """Every figure of one store."""
    short, deep = kind.new(), kind.new()
    with closing(connect(short)) as broker:
        fill(broker, 0)
    with closing(connect(deep)) as broker:
        fill(broker, 0)
    empty = kind.size(deep)
    with closing(connect(deep)) as broker:
        began = time.perf_counter()
        fill(broker, jobs)
        took = time.perf_counter() - began
    yield _once(f"{name}: {jobs:,} jobs in", "jobs/s", jobs / took)
    yield _once(f"{name}: a queued job takes", "bytes", (kind.size(deep) - empty) / jobs)
    yield from _beside(name, deep, short, place, min(_DRAINED, int(jobs * _PART)))


def _beside(name: str, deep: str, short: str, place: Path, some: int) -> Iterator[Figure]:
    """The figures of a deep queue that is there, by its URL, with an empty one to measure it by."""

    def few() -> float:
        with closing(connect(short)) as broker:
            fill(broker, some)
        return claims(short, some)

    samples = alternate(_ROUNDS, lambda: claims(deep, some), few)
    goal = ">= 0.9 of as many from an empty queue"
    yield samples.figure(f"{name}: claims of {some:,} of them", "jobs/s", goal, AtLeast(0.9))
    stamps = place / "stamps"
    starts = alternate(_ROUNDS, lambda: _start(deep, stamps), lambda: _start(short, stamps))
    goal = "<= 1.1 of an empty queue's"
    yield starts.figure(f"{name}: worker's start to its first job", "s", goal, lambda them: them.ratio <= 1.1)
    for words, limit in _COMMANDS:
        took = alternate(_ROUNDS, partial(_command, *words, deep), partial(_command, *words, short))
        what = f"{name}: penstock {' '.join(words)}"
        yield took.figure(what, "s", f"< {limit:g} s", partial(_within, limit))


def _within(limit: float, samples: Samples) -> bool:
    return median(samples.ours) < limit


def _once(what: str, unit: str, value: float) -> Figure:
    return alone(what, unit, [value], "", lambda _: True)


def _start(queue: str, stamps: Path) -> float:
    """Seconds from the start of a worker's process to the first line of a job before all others."""
    stamps.write_bytes(bytes(STAMP.size))
    with closing(connect(queue)) as broker:
        broker.open()
        broker.enqueue([NewJob(new_ids(1)[0], "benchmarks.tasks.stamp", encode_value((0,)), priority=9)])
    began = time.monotonic()
    with worker(queue, "-c", "2", stamps=stamps), stamps.open("r+b") as file:
        memory = mmap.mmap(file.fileno(), 0)
        until_stamped(memory, 0)
        return float(STAMP.unpack_from(memory)[0]) - began


def _command(*words: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "penstock", *words], check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
    return time.perf_counter() - began


@contextmanager
def _sqlite(place: Path) -> Iterator[Kind]:
    yield Kind(lambda: url(place / f"{next(_numbers)}.db"), _file_size)


def _file_size(queue: str) -> int:
    # Nobody has it open: what was in its log is in it.
    return Path(queue.removeprefix("sqlite:///")).stat().st_size


@contextmanager
def _postgresql(place: Path) -> Iterator[Kind]:
    import psycopg

    def size(queue: str) -> int:
        question = """select sum(pg_total_relation_size(c.oid)) from pg_class c join pg_namespace n on n.oid = c.relnamespace
                      where n.nspname = %s and c.relkind = 'r'"""
        with psycopg.connect(server.url()) as connection:
            row = connection.execute(question, [queue.partition("?schema=")[2]]).fetchone()
            assert row is not None
            return int(row[0])

    with PostgresServer(durable=True) as server:
        yield Kind(PostgresStore(server).new, size)


@contextmanager
def _mongodb(place: Path) -> Iterator[Kind]:
    import pymongo

    def size(queue: str) -> int:
        with pymongo.MongoClient[dict[str, Any]](server.url()) as client:
            client.admin.command("fsync")
            told = client["penstock"].command("collStats", f"{queue.partition('namespace=')[2]}_jobs")
            return int(told["totalSize"])

    with MongoServer(durable=True, cache=1 << 30) as server:
        yield Kind(MongoStore(server).new, size)


@contextmanager
def _redis(place: Path) -> Iterator[Kind]:
    with RedisServer() as server:
        store = RedisStore(server)
        yield Kind(store.new, lambda _: store.memory())


_numbers = itertools.count(1)
_KINDS = {"SQLite": _sqlite, "PostgreSQL": _postgresql, "MongoDB": _mongodb, "Redis": _redis}


if __name__ == "__main__":
    sys.exit(main())
