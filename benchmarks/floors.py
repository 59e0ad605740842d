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
from penstock.testing.servers import RabbitServer, RedisServer

_numbers = itertools.count(1)


def run(quick: bool) -> list[Figure]:
    """On Redis and RabbitMQ: from the call to the first line of a job at an idle worker, and on RabbitMQ confirmed jobs one by one. Raw are two bare processes, and one."""
    jobs, rounds = (100, 2) if quick else (300, 8)
    with folder() as place, RedisServer() as redis, RabbitServer(durable=True) as rabbit:
        urls: dict[str, Callable[[], str]] = {
            "Redis": lambda: f"{redis.url()}?namespace=floor{next(_numbers)}",
            "RabbitMQ": lambda: (
                f"{rabbit.url()}?namespace=floor{(number := next(_numbers))}&backend=sqlite:///{place}/{number}.db"
            ),
        }
        bare = {"Redis": redis.url(), "RabbitMQ": rabbit.url("%2F")}
        figures = [_one_by_one(urls["RabbitMQ"], bare["RabbitMQ"], 300 if quick else 1_000, rounds)]
        for name, new in urls.items():
            figures += _started(name, new, bare[name], place, jobs, rounds)
    return figures


def _one_by_one(new: Callable[[], str], url: str, count: int, rounds: int) -> Figure:
    ours: list[float] = []
    bare: list[float] = []
    for _ in range(rounds):
        with closing(Penstock(new())) as app:
            task = app.task(noop)
            task.delay(0)
            ours.append(_rate(task.delay, count))
        with raw_single.sender("rabbitmq", url) as send:
            send(0)
            bare.append(_rate(send, count))
    samples = Samples(ours, bare)
    return samples.figure(f"RabbitMQ: .delay, {count:,} one by one", "jobs/s", ">= 0.9 of raw", AtLeast(0.9))


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
