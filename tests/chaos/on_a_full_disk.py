"""What a worker and those who send do while a server's disk is full; run in a mount namespace of its own: `python on_a_full_disk.py KIND FOLDER`.

The disk is a tmpfs that is gone with this process.
"""

import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psycopg
from chaos_app import make
from oracle import World, until

from penstock.errors import StoreError, StoreFull, StoreUnavailable
from penstock.testing.servers import MongoServer, PostgresServer, RedisServer
from penstock.testing.servers.server import Server

#: Jobs that are sent together; a refusal comes within so many of them.
TOGETHER, TRIES = 500, 200
#: Bytes of the disk, by the kind of server: of what it writes at its start, and some more.
SIZES = {"postgresql": "24m", "mongodb": "400m", "redis": "8m"}


def on_postgresql(disk: Path) -> PostgresServer:
    """Its tables are on the small disk. Where its log is as well, it stops: that is an outage like others."""
    server = PostgresServer()
    server.start()
    shutil.chown(disk, server.data.owner(), server.data.group())
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"create tablespace small location '{disk}'")
        connection.execute("alter database penstock set default_tablespace = small")
    return server


def on_mongodb(disk: Path) -> MongoServer:
    """All that it has is there. It ends itself when its journal finds no room."""
    tempfile.tempdir = str(disk)
    server = MongoServer(durable=True)
    tempfile.tempdir = None
    return server.start()


def on_redis(disk: Path) -> RedisServer:
    return RedisServer(appendfsync="everysec", options=["--dir", str(disk)]).start()


SERVERS: dict[str, Callable[[Path], Server]] = {
    "postgresql": on_postgresql,
    "mongodb": on_mongodb,
    "redis": on_redis,
}


def fill(disk: Path) -> Path:
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        size = 65536
        while size:
            try:
                file.write(b"\0" * size)
            except OSError:
                size //= 2
    return filler


def refused(world: World, first: int) -> tuple[int, StoreError]:
    """Send until the store refuses; returns the first number that it did not take, and what it said."""
    for start in range(first, first + TRIES * TOGETHER, TOGETHER):
        try:
            world.app.tasks["short"].delay_many([(number,) for number in range(start, start + TOGETHER)])
        except StoreError as error:
            return start, error
    raise AssertionError("it took all")


def sent(world: World, numbers: range) -> bool:
    with suppress(StoreError):
        world.app.tasks["short"].delay_many([(number,) for number in numbers])
        return True
    return False


def main(kind: str, folder: Path) -> None:
    disk = folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZES[kind]}", "tmpfs", str(disk)], check=True)
    server = SERVERS[kind](disk)
    try:
        world = World(folder, make(server.url(), str(folder / "log")))
        try:
            watch(kind, server, world, disk)
        finally:
            world.close()
    finally:
        server.remove()
    print("ok")


def watch(kind: str, server: Server, world: World, disk: Path) -> None:
    assert sent(world, range(1000))
    worker = world.run("-c", "2")
    until(lambda: len(world.notes()) > 100, 60, "it works")
    filler = fill(disk)
    stop, error = refused(world, 1000)
    assert "\n" not in str(error), error
    assert isinstance(error, (StoreFull, StoreUnavailable) if kind == "mongodb" else StoreFull), repr(error)
    threading.Event().wait(3)
    filler.unlink()
    if kind == "mongodb":
        server.start()
    # What was refused is not there, so its numbers are free.
    numbers = range(stop + TOGETHER, stop + 2 * TOGETHER)
    until(lambda: sent(world, numbers), 60, "there is room again")
    world.wait_until_done(120)
    runs = world.runs()
    assert set(runs) >= {*range(stop), *numbers}
    assert kind == "mongodb" or set(runs) == {*range(stop), *numbers}
    assert {note.attempt for note in world.notes()} == {1}
    assert world.counts().dead == 0
    assert worker.stop() == 0
    assert "Traceback" not in "\n".join(worker.said()), worker.said()[-20:]


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
