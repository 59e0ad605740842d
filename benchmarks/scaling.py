"""How soon a worker has grown when much comes at once."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from benchmarks.enqueue import empty
from benchmarks.figures import Figure, alone
from benchmarks.places import folder, url, worker
from benchmarks.tasks import nap
from penstock import Penstock

_MOST = 8
_SECONDS = 0.1
_LIMIT = 30.0


def run(quick: bool) -> list[Figure]:
    """From the first job of many, for one process that rests, until eight run at a time."""
    with folder() as place:
        took = [_grown(place) for _ in range(1 if quick else 3)]
    what = f"scale-up from 1 to {_MOST} processes under load"
    return [alone(what, "s", took, "< 3 s", lambda seconds: seconds < 3)]


def _grown(place: Path) -> float:
    path = empty(place / "queue.db")
    app = Penstock(url(path))
    task = app.task(name=nap.name)(nap.function)
    task.delay(0.0)
    with worker(url(path), "--autoscale", f"{_MOST},1"), closing(sqlite3.connect(path, isolation_level=None)) as look:
        _until(look, "select not exists (select 1 from penstock_job)")
        began = time.monotonic()
        task.delay_many([(_SECONDS,)] * 2_000)
        _until(look, f"select count(*) >= {_MOST} from penstock_running")
        took = time.monotonic() - began
        app.close()
    return took


def _until(look: sqlite3.Connection, question: str) -> None:
    deadline = time.monotonic() + _LIMIT
    while not look.execute(question).fetchone()[0]:
        if time.monotonic() > deadline:
            raise SystemExit(f"not after {_LIMIT:g} s: {question}")
        time.sleep(0.01)
