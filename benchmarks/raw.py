"""The raw loops: the queue's own tables and statements, and nothing of Penstock around them.

Run as a program it drains a queue: `python -m benchmarks.raw PATH LOCK`, where LOCK is `flock` or `alone`. It says
`ready`, waits for a line, and prints its first and last moment and how many jobs it ended.
"""

from __future__ import annotations

import fcntl
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from penstock.stores import sqlite
from penstock.stores.statements import Statements

QUEUE = "default"
_PER_TRANSACTION = 500


def drain(path: Path, processes: int) -> float:
    """Jobs per second of that many processes that claim and end what a queue holds, 500 in a transaction."""
    lock = "flock" if processes > 1 else "alone"
    command = [sys.executable, "-m", "benchmarks.raw", str(path), lock]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(processes)
    ]
    for process in running:
        assert process.stdout is not None
        process.stdout.readline()
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate()[0].split() for process in running]
    first = min(float(answer[0]) for answer in answers)
    last = max(float(answer[1]) for answer in answers)
    return sum(int(answer[2]) for answer in answers) / (last - first)


def insert(connection: sqlite3.Connection, count: int, batch: int) -> float:
    """Jobs per second of one program that stores `count` no-op jobs, `batch` in a transaction."""
    sql = Statements("sqlite", "penstock")
    seq, _ = connection.execute(sql["frontier"]).fetchone()
    began = time.perf_counter()
    for before in range(seq, seq + count, batch):
        now = time.time()
        rows = [
            (
                n,
                n.to_bytes(16, "big"),
                QUEUE,
                5,
                "noop",
                b"\x91\x01",
                None,
                0,
                None,
                1,
                0,
                None,
                None,
                0,
                None,
                now,
                None,
            )
            for n in range(before + 1, before + batch + 1)
        ]
        connection.execute("begin immediate")
        connection.executemany(sql["insert_job"], rows)
        connection.execute(sql["ready_new"], (before,))
        connection.execute("commit")
    return count / (time.perf_counter() - began)


def insert_rows(connection: sqlite3.Connection, rows: Iterator[tuple[bytes, int]], per_transaction: int) -> None:
    """Store packed rows, each a payload and the number of its items."""
    sql = Statements("sqlite", "penstock")
    before, _ = connection.execute(sql["frontier"]).fetchone()
    batch: list[tuple[object, ...]] = []

    def commit() -> None:
        connection.execute("begin immediate")
        connection.executemany(sql["insert_job"], batch)
        connection.execute(sql["ready_new"], (before,))
        connection.execute("commit")

    for seq, (payload, items) in enumerate(rows, before + 1):
        id = seq.to_bytes(16, "big")
        batch.append((seq, id, QUEUE, 5, "noop", payload, None, 0, None, items, 1, None, None, 0, None, 0.0, None))
        if len(batch) == per_transaction:
            commit()
            batch.clear()
            before = seq
    if batch:
        commit()


def claims(connection: sqlite3.Connection, limit: int, lock: int | None = None) -> Iterator[list[tuple[object, ...]]]:
    """Claim batch after batch, and end each in the transaction that claims the next."""
    sql = Statements("sqlite", "penstock")
    held, claim = "[]", 0
    execute = connection.execute
    while True:
        if lock is not None:
            fcntl.flock(lock, fcntl.LOCK_EX)
        execute("begin immediate")
        if claim:
            execute(sql["end_running"], (held, claim))
            execute(sql["delete_jobs"], (held,))
        (claim,) = execute(sql["next_claim"]).fetchone()
        rows = execute(sql["claim_select"], (QUEUE, limit)).fetchall()
        if rows:
            execute(sql["claim_mark"], (1, claim, QUEUE, *rows[-1]))
            execute(sql["claim_take"], (QUEUE, *rows[-1]))
        seqs = [row[-1] for row in rows]
        held = json.dumps(seqs)
        execute("commit")
        if lock is not None:
            fcntl.flock(lock, fcntl.LOCK_UN)
        if not rows:
            return
        yield execute(sql["claimed"], (min(seqs), max(seqs), claim)).fetchall()


def _main(path: str, lock: str) -> None:
    with closing(sqlite.connect(path)) as connection, open(f"{path}-lock", "ab") as file:
        print("ready", flush=True)
        sys.stdin.readline()
        began = time.monotonic()
        ended = sum(
            len(rows) for rows in claims(connection, _PER_TRANSACTION, file.fileno() if lock == "flock" else None)
        )
        print(began, time.monotonic(), ended, flush=True)


if __name__ == "__main__":
    _main(*sys.argv[1:])
