"""A disk on which every flush takes a fifth of a second: commits get larger, and nobody is taken for dead or run twice."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from chaos_app import make
from oracle import FULL, Worker, World, until

from penstock.testing.servers import MongoServer, PostgresServer, RedisServer

JOBS = 3_000
DELAY = 0.2


@contextmanager
def slow_flushes(pids: list[int]) -> Iterator[None]:
    """Delay what these processes, and all that they start, do to have their data on the disk."""
    calls = "fsync,fdatasync,sync_file_range,msync"
    words = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}"]
    words += ["-e", f"inject={calls}:delay_enter={int(DELAY * 1e6)}", "-p", ",".join(map(str, pids))]
    strace = subprocess.Popen(words, stderr=subprocess.PIPE)
    try:
        yield
        # One that may not trace others ends at once, and says why.
        assert strace.poll() is None, strace.communicate()[1]
    finally:
        strace.terminate()
        strace.communicate()


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace makes the disk slow: install strace")
@pytest.mark.skipif(not FULL, reason="it takes its time: PENSTOCK_CHAOS=full")
@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "mongodb", "redis"])
def test_jobs_are_taken_together_and_run_once(kind: str, world: World, request: pytest.FixtureRequest) -> None:
    if kind == "sqlite":
        check(world, world.start())
        return
    kinds = {
        "postgresql": lambda: PostgresServer(durable=True),
        "mongodb": lambda: MongoServer(durable=True),
        "redis": lambda: RedisServer(appendfsync="always"),
    }
    server = kinds[kind]().start()
    request.addfinalizer(server.remove)
    there = World(world.folder, make(server.url(), str(world.log)))
    request.addfinalizer(there.close)
    check(there, there.start(), processes_of(server))


def processes_of(server: PostgresServer | MongoServer | RedisServer) -> list[int]:
    """Those that write: of PostgreSQL the children that there are as well; later ones are followed."""
    pid = (server.members[0] if isinstance(server, MongoServer) else server.process).pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii")
    return [pid, *map(int, children.split())]


def check(world: World, worker: Worker, pids: list[int] | None = None) -> None:
    short = world.app.tasks["short"]
    short.delay(0)
    until(lambda: len(world.notes()) == 1 and len(worker.children()) == 2, 20, "the worker is up")
    with slow_flushes(worker.tree() if pids is None else pids):
        short.delay_many([(number, 100) for number in range(1, JOBS)])
        # One by one, or ten by ten, they would take minutes.
        until(lambda: len(world.runs()) == JOBS and world.live() == 0, 45, "all have run")
    assert worker.stop() == 0
    assert [number for number, notes in world.runs().items() if len(notes) > 1] == []
    assert {note.attempt for note in world.notes()} == {1}
    assert world.notes("died") == []
