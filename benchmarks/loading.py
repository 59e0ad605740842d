"""`penstock load`: a file of JSON Lines into a SQLite table."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.figures import Figure, alone, alternate, at_least
from benchmarks.places import ROOT, folder
from penstock.cli.demo import orders

_BATCH = 1000
_TABLE = """
create table orders (
  order_id integer primary key, symbol text not null, side text not null, quantity integer not null,
  price real not null, account text not null, placed_at text not null, tags text
)
"""
_INSERT = "insert into orders values (?, ?, ?, ?, ?, ?, ?, ?)"


def run(quick: bool) -> list[Figure]:
    """The whole command with 2 workers, from its start to its end, against a loop that parses and inserts."""
    count = 100_000 if quick else 1_000_000
    peaks: list[float] = []
    with folder() as place:
        source = place / "orders.jsonl"
        with source.open("w") as file:
            file.writelines(f"{line}\n" for line in orders(count, 0))

        def ours() -> float:
            target = _table(place / "ours.db")
            command = [sys.executable, "-m", "penstock", "load", str(source), "--into", f"sqlite:///{target}"]
            began = time.perf_counter()
            done = subprocess.run(
                [*command, "--table", "orders", "--workers", "2", "--json"],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                check=True,
            )
            took = time.perf_counter() - began
            summary = msgspec.json.decode(done.stdout)
            peaks.append(summary["peak_memory"] / 1e6)
            _check(target, count)
            return count / took

        samples = alternate(2 if quick else 3, ours, lambda: _bare(source, _table(place / "raw.db"), count))
    return [
        samples.figure(f"load of {count:,} orders, JSON Lines", "records/s", ">= 0.6 of a bare loop", at_least(0.6)),
        alone(f"load of {count:,} orders: peak memory", "MB", peaks, "< 200 MB", lambda peak: peak < 200),
    ]


def _bare(source: Path, target: Path, count: int) -> float:
    decode, encode = msgspec.json.Decoder(dict[str, Any]).decode, msgspec.json.encode
    began = time.perf_counter()
    with closing(sqlite3.connect(target, isolation_level=None)) as connection, source.open("rb") as file:
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = full")
        batch: list[tuple[Any, ...]] = []
        for line in file:
            order = decode(line)
            order["tags"] = encode(order["tags"]).decode()
            batch.append(tuple(order.values()))
            if len(batch) == _BATCH:
                _insert(connection, batch)
                batch = []
        _insert(connection, batch)
    took = time.perf_counter() - began
    _check(target, count)
    return count / took


def _insert(connection: sqlite3.Connection, batch: list[tuple[Any, ...]]) -> None:
    connection.execute("begin immediate")
    connection.executemany(_INSERT, batch)
    connection.execute("commit")


def _table(path: Path) -> Path:
    for ending in ("", "-wal", "-shm", "-lock"):
        Path(f"{path}{ending}").unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(_TABLE)
    return path


def _check(path: Path, count: int) -> None:
    with closing(sqlite3.connect(path)) as connection:
        (found,) = connection.execute("select count(*) from orders").fetchone()
    if found != count:
        raise SystemExit(f"{path} has {found:,} orders, not {count:,}")
