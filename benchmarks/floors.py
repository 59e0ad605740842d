"""A single job beside the least that its store's driver can do: what is left between the two is Penstock's."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from statistics import median, quantiles

from benchmarks import raw_single
from benchmarks.enqueue import noop
from benchmarks.figures import AtLeast, Figure, Samples
from benchmarks.latency import paced, waits
from benchmarks.places import folder
from benchmarks.tasks import STAMP
from penstock import Penstock
from penstock.testing.servers import MongoServer, PostgresServer, RabbitServer, RedisServer

_numbers = itertools.count(1)


def run(quick: bool) -> list[Figure]:
    """Jobs that are stored one by one on SQLite, MongoDB and RabbitMQ; from the call to the first line of a job at an idle worker on PostgreSQL, Redis and RabbitMQ. Raw are one bare process, and two."""
    jobs, rounds = (100, 2) if quick else (300, 8)
    count = 300 if quick else 1_000
    with folder() as place:
        # Three pages in place of one: a job is found by its id, and taken by its place. So many that the bare log is begun again, too.
        figures = [
            _one_by_one(
                "SQLite",
                lambda: f"sqlite:///{place}/{next(_numbers)}.db",
                f"{place}/bare.db",
                5 * count,
                rounds,
                least=0.6,
            )
        ]
    with MongoServer(durable=True) as mongo:
        # Two questions in place of one: a job's place in the order of arrival comes from a counter.
        figures += [
            _one_by_one(
                "MongoDB",
                lambda: f"{mongo.url()}&namespace=floor{next(_numbers)}",
                mongo.url(),
                count,
                rounds,
                least=0.5,
            )
        ]
    with folder() as place, PostgresServer(durable=True) as postgres:
        server = postgres.url()
        figures += _started("PostgreSQL", lambda: f"{server}?schema=floor{next(_numbers)}", server, place, jobs, rounds)
    with folder() as place, RabbitServer(durable=True) as rabbit:

        def new() -> str:
            number = next(_numbers)
            return f"{rabbit.url()}?namespace=floor{number}&backend=sqlite:///{place}/{number}.db"

        bare = rabbit.url("%2F")
        figures.append(_one_by_one("RabbitMQ", new, bare, count, rounds, least=0.9))
        figures += _started("RabbitMQ", new, bare, place, jobs, rounds)
    with folder() as place, RedisServer() as redis:
        url = redis.url()
        figures += _started("Redis", lambda: f"{url}?namespace=floor{next(_numbers)}", url, place, jobs, rounds)
    return figures


def _one_by_one(name: str, new: Callable[[], str], url: str, count: int, rounds: int, *, least: float) -> Figure:
    ours: list[float] = []
    bare: list[float] = []
    for _ in range(rounds):
        with closing(Penstock(new())) as app:
            task = app.task(noop)
            task.delay(0)
            ours.append(_rate(task.delay, count))
        with raw_single.sender(name.lower(), url) as send:
            send(0)
            bare.append(_rate(send, count))
    samples = Samples(ours, bare)
    return samples.figure(f"{name}: .delay, {count:,} one by one", "jobs/s", f">= {least} of raw", AtLeast(least))


def _rate(send: Callable[[int], object], count: int) -> float:
    began = time.perf_counter()
    for number in range(count):
        send(number)
    return count / (time.perf_counter() - began)


def _started(name: str, new: Callable[[], str], url: str, place: Path, jobs: int, rounds: int) -> list[Figure]:
    ours: list[list[float]] = []
    bare: list[list[float]] = []
    for _ in range(rounds):
        ours.append(waits(new(), place / "stamps", jobs))
        bare.append(_bare(name.lower(), url, place / "stamps", jobs))
    return [
        Samples([of(each) for each in ours], [of(each) for each in bare]).figure(
            f"{name}: enqueue to start, idle worker, {jobs} jobs at 50/s, {what}",
            "ms",
            "< 2 x raw",
            lambda samples: samples.ratio < 2,
        )
        for what, of in (("p50", median), ("p99", _p99))
    ]


def _p99(each: list[float]) -> float:
    return quantiles(each, n=100, method="inclusive")[98]


def _bare(kind: str, url: str, stamps: Path, jobs: int) -> list[float]:
    """Milliseconds from a number's sending to its stamp, with two processes that have nothing else to do."""
    stamps.write_bytes(bytes(STAMP.size * (jobs + 1)))
    with raw_single.sender(kind, url) as send:
        command = [sys.executable, "-m", "benchmarks.raw_single", kind, url, str(stamps)]
        takers = [subprocess.Popen(command) for _ in range(2)]
        try:
            return paced(send, stamps, jobs)
        finally:
            for taker in takers:
                taker.kill()
                taker.wait()
