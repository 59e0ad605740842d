"""Files that benchmarks work on, queues that are filled once and copied, and workers that are started."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from penstock.brokers.base import Broker
from penstock.brokers.sqlite.broker import SqliteBroker
from penstock.client import new_ids
from penstock.core.codec import encode_value
from penstock.core.job import NewJob

ROOT = Path(__file__).parent.parent
NOOP = "benchmarks.tasks.noop"
_ENDINGS = ("", "-wal", "-shm", "-lock")


@contextmanager
def folder() -> Iterator[Path]:
    """A folder for one benchmark: in `$PENSTOCK_BENCH_DIR`, or where temporary files go."""
    with tempfile.TemporaryDirectory(prefix="penstock-bench-", dir=os.environ.get("PENSTOCK_BENCH_DIR")) as name:
        yield Path(name)


def url(path: Path) -> str:
    """Of a queue's file."""
    return f"sqlite:///{path}"


def filled(path: Path, ready: int, delayed: int = 0) -> Path:
    """A SQLite queue with no-op jobs: so many ready, and so many that wait for a day."""
    with closing(SqliteBroker(url(path))) as broker:
        fill(broker, ready, delayed)
    return path


def fill(broker: Broker, ready: int, delayed: int = 0) -> None:
    """Open a queue, and put no-op jobs in."""
    broker.open()
    for count, delay in ((delayed, 86400.0), (ready, None)):
        for start in range(0, count, 10_000):
            ids = new_ids(min(10_000, count - start))
            broker.enqueue(
                [NewJob(id, NOOP, encode_value((number,)), delay=delay) for number, id in enumerate(ids, start)]
            )


def fresh_copy(source: Path, to: Path) -> Path:
    """A copy of a queue that nobody has open; an older copy goes."""
    shutil.copyfile(source, cleared(to))
    with open(to, "rb") as file:
        os.fsync(file.fileno())
    return to


def cleared(path: Path) -> Path:
    """The place of a queue's file, without what was there."""
    for ending in _ENDINGS:
        Path(f"{path}{ending}").unlink(missing_ok=True)
    return path


@contextmanager
def worker(
    queue: str,
    *arguments: str,
    stamps: Path | None = None,
    app: str = "benchmarks.tasks:app",
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """`penstock worker` on a queue's URL, for as long as the context is open."""
    variables = {**os.environ, "PENSTOCK_URL": queue, **(environment or {})}
    if stamps is not None:
        variables["PENSTOCK_BENCH_STAMPS"] = str(stamps)
    command = [sys.executable, "-m", "penstock", "worker", app, *arguments]
    with subprocess.Popen(command, cwd=ROOT, env=variables, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def emptied(path: Path, limit: float = 120.0) -> float:
    """Watch a SQLite queue as `watched` does."""
    question = "select exists (select 1 from penstock_running), exists (select 1 from penstock_job)"
    with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as connection:
        return watched(lambda: connection.execute(question).fetchone(), limit)


def watched(look: Callable[[], tuple[bool, bool]], limit: float = 120.0, every: float = 0.005) -> float:
    """Watch from outside until a queue is empty; returns the seconds from the first claim to the last ending.

    Parameters:
        look: asks the store whether any job runs, and whether any is left.
        every: seconds between two looks once jobs run; looks cost a server what it has for the jobs.
    """
    began: float | None = None
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        running, left = look()
        now = time.monotonic()
        if began is None and (running or not left):
            began = now
        if began is not None and not left:
            return now - began
        time.sleep(0.002 if began is None else every)
    raise SystemExit(f"the queue was not empty after {limit:g} s")


def until(condition: Callable[[], bool], limit: float = 300.0, every: float = 0.1) -> None:
    """Wait until something is so; ends the program where that takes too long."""
    deadline = time.monotonic() + limit
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"not all orders were in after {limit:g} s")
        time.sleep(every)
