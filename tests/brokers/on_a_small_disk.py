"""What a queue does on a disk that is full or read-only; run in a mount namespace of its own.

The disk is a tmpfs that is gone with this process.
"""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from penstock.brokers import connect
from penstock.brokers.base import Broker
from penstock.core.ids import uuid7s
from penstock.core.job import Holder, Lease, NewJob
from penstock.core.outcome import Outcome
from penstock.errors import StoreError, StoreFull, StoreReadOnly

ALICE = Holder("alice", 1)


def jobs(count: int, size: int) -> list[NewJob]:
    made = uuid7s(count, 1_700_000_000_000, os.urandom(10))
    return [NewJob(id=id, task="t", payload=b"x" * size) for id in made]


def opened(folder: Path) -> Broker:
    broker = connect(f"sqlite:///{folder}/jobs.db")
    broker.open()
    return broker


def refused(kind: type[StoreError], call: Callable[[], object]) -> bool:
    """Whether the call is refused with this error, in one line that says what to do next."""
    try:
        call()
    except kind as error:
        text = str(error)
        assert "\n" not in text, text
        assert "jobs.db" in text, text
        assert ": " in text, text
        return True
    return False


def fill(folder: Path) -> Path:
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        size = 65536
        while size:
            try:
                file.write(b"\0" * size)
            except OSError:
                size //= 2
    return filler


def drained(broker: Broker, first: list[Lease]) -> set[bytes]:
    seen: set[bytes] = set()
    leases = first
    while leases:
        ids = {lease.id for lease in leases}
        assert not seen & ids
        seen |= ids
        given = broker.exchange([Outcome(lease) for lease in leases], ["default"], 20, ALICE)
        assert given.stale == []
        leases = given.leases
    return seen


def full(folder: Path) -> None:
    broker = opened(folder)
    small = jobs(60, 10)
    broker.enqueue(small)
    held = broker.exchange((), ["default"], 10, ALICE).leases
    filler = fill(folder)
    stored = {job.id for job in small}
    batches = [jobs(4, 50_000) for _ in range(20)]
    kept = [batch for batch in batches if not refused(StoreFull, partial(broker.enqueue, batch))]
    assert len(kept) < len(batches)
    stored |= {job.id for batch in kept for job in batch}
    other = connect(f"sqlite:///{folder}/jobs.db")
    if not refused(StoreError, other.open):
        assert other.depth("default") == len(stored) - len(held)
    other.close()
    filler.unlink()
    more = jobs(3, 10)
    broker.enqueue(more)
    assert drained(broker, held) == stored | {job.id for job in more}
    broker.close()
    with sqlite3.connect(folder / "jobs.db") as connection:
        assert connection.execute("pragma integrity_check").fetchone() == ("ok",)


def no_room_at_all(folder: Path) -> None:
    filler = fill(folder)
    broker = connect(f"sqlite:///{folder}/jobs.db")
    assert refused(StoreFull, broker.open)
    filler.unlink()
    broker.open()
    broker.enqueue(jobs(3, 10))
    assert len(drained(broker, broker.exchange((), ["default"], 10, ALICE).leases)) == 3
    broker.close()


def read_only(folder: Path) -> None:
    broker = opened(folder)
    broker.enqueue(jobs(3, 10))
    broker.close()
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    assert refused(StoreReadOnly, lambda: opened(folder))
    subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)
    broker = opened(folder)
    assert broker.depth("default") == 3
    broker.close()


def read_only_from_the_start(folder: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    assert refused(StoreReadOnly, lambda: opened(folder))


CASES = {case.__name__: case for case in (full, no_room_at_all, read_only, read_only_from_the_start)}

if __name__ == "__main__":
    name, place = sys.argv[1:]
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], check=True)
    CASES[name](Path(place))
    print("ok")
