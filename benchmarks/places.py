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
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from penstock.brokers.sqlite import SqliteBroker
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
    """A queue with no-op jobs: so many ready, and so many that wait for a day."""
    later = time.time() + 86400
    with closing(SqliteBroker(url(path))) as broker:
        broker.open()
        for count, run_at in ((delayed, later), (ready, None)):
            for start in range(0, count, 10_000):
                ids = new_ids(min(10_000, count - start))
                broker.enqueue(
                    [NewJob(id, NOOP, encode_value((number,)), run_at=run_at) for number, id in enumerate(ids, start)]
                )
    return path


def fresh_copy(source: Path, to: Path) -> Path:
    """A copy of a queue that nobody has open; an older copy goes."""
    for ending in _ENDINGS:
        Path(f"{to}{ending}").unlink(missing_ok=True)
    shutil.copyfile(source, to)
    with open(to, "rb") as file:
        os.fsync(file.fileno())
    return to


@contextmanager
def worker(path: Path, *arguments: str, stamps: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """`penstock worker` on a queue, for as long as the context is open."""
    environment = dict(os.environ, PENSTOCK_URL=url(path))
    if stamps is not None:
        environment["PENSTOCK_BENCH_STAMPS"] = str(stamps)
    command = [sys.executable, "-m", "penstock", "worker", "benchmarks.tasks:app", *arguments]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def emptied(path: Path, limit: float = 120.0) -> float:
    """Watch from outside until a queue is empty; returns the seconds from the first claim to the last ending."""
    began: float | None = None
    deadline = time.monotonic() + limit
    with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as connection:
        while time.monotonic() < deadline:
            running, left = connection.execute(
                "select exists (select 1 from penstock_running), exists (select 1 from penstock_job)"
            ).fetchone()
            now = time.monotonic()
            if began is None and (running or not left):
                began = now
            if began is not None and not left:
                return now - began
            time.sleep(0.002 if began is None else 0.005)
    raise SystemExit(f"the queue was not empty after {limit:g} s")
