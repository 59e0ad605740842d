"""`.map`: items in, and items run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from statistics import median

import msgspec

from benchmarks import raw
from benchmarks.enqueue import empty, noop
from benchmarks.figures import Figure, alternate
from benchmarks.places import NOOP, emptied, folder, fresh_copy, url, worker
from penstock import Penstock
from penstock.stores import sqlite

_ITEMS = 1000
_ROWS_PER_TRANSACTION = 50


def run(quick: bool) -> list[Figure]:
    """Against rows of 1,000 items that are encoded and stored, and claimed, decoded and called, in one process."""
    count = 200_000 if quick else 1_000_000
    repeats = 3 if quick else 5
    with folder() as place:
        ways_in = alternate(repeats, lambda: _map(empty(place / "in.db"), count), lambda: _pack(place, count))
        queue = empty(place / "filled.db")
        _map(queue, count)

        def ours() -> float:
            copy = fresh_copy(queue, place / "ours.db")
            with worker(url(copy), "-c", "2"):
                return count / emptied(copy)

        runs = alternate(repeats, ours, lambda: _unpack(fresh_copy(queue, place / "raw.db"), count))
    return [
        ways_in.figure(f".map of {count:,} items, in", "items/s", ">= 1,000,000", lambda s: median(s.ours) >= 1e6),
        runs.figure(f".map of {count:,} no-op items, run", "items/s", ">= 400,000", lambda s: median(s.ours) >= 4e5),
    ]


def _map(path: Path, count: int) -> float:
    app = Penstock(url(path))
    task = app.task(name=NOOP)(noop)
    began = time.perf_counter()
    task.map(range(count))
    took = time.perf_counter() - began
    app.close()
    return count / took


def _pack(place: Path, count: int) -> float:
    encode = msgspec.msgpack.Encoder().encode

    def rows() -> Iterator[tuple[bytes, int]]:
        for start in range(0, count, _ITEMS):
            yield encode(([(n,) for n in range(start, start + _ITEMS)], start, None)), _ITEMS

    with closing(sqlite.connect(str(empty(place / "raw.db")))) as connection:
        began = time.perf_counter()
        raw.insert_rows(connection, rows(), _ROWS_PER_TRANSACTION)
        return count / (time.perf_counter() - began)


def _unpack(path: Path, count: int) -> float:
    decode = msgspec.msgpack.Decoder(tuple[list[tuple[int]], int, list[int] | None]).decode
    with closing(sqlite.connect(str(path))) as connection:
        began = time.perf_counter()
        for rows in raw.claims(connection, 4):
            for row in rows:
                for arguments in decode(row[5])[0]:
                    noop(*arguments)
        return count / (time.perf_counter() - began)
