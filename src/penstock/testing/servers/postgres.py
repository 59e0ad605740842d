"""A private PostgreSQL server."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import psycopg

from penstock.errors import ConfigError, StoreUnavailable
from penstock.testing.servers.process import LOOPBACK, ServerProcess, find_program
from penstock.testing.servers.server import Server

_TRIES = 50


class PostgresServer(Server):
    """One PostgreSQL on a free port, with the database `penstock` and the superuser `postgres`.

    Parameters:
        durable: commits survive a power cut, as in production; without it tests are faster, and still survive kills.
        settings: further server settings, by name.
        address: of this machine, at which it is reached, and by whom its network is let in; it listens at the loopback
            interface as well.
    """

    def __init__(
        self, *, durable: bool = False, settings: dict[str, str] | None = None, address: str = LOOPBACK
    ) -> None:
        self._programs = _programs()
        self._address = address
        self._settings = {
            "listen_addresses": ",".join({LOOPBACK, address}),
            "max_connections": "200",
            **({} if durable else {"fsync": "off"}),
            **(settings or {}),
        }
        self.process = ServerProcess("postgresql", user="postgres", durable=durable)
        self.data = self.process.folder / "data"

    def url(self, database: str = "penstock", *, user: str = "postgres") -> str:
        """The URL of a database on this server."""
        return f"postgresql://{user}@{self._address}:{self.process.port}/{database}"

    def start(self) -> Self:
        """Start, with a new cluster the first time; returns itself."""
        first = not self.data.exists()
        if first:
            initdb = [
                str(self._programs / "initdb"),
                "-D",
                str(self.data),
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
            ]
            self.process.call([*initdb, "--locale", "C.UTF-8", "--no-sync"])
            if self._address != LOOPBACK:
                with (self.data / "pg_hba.conf").open("a", encoding="utf-8") as access:
                    access.write("host all all samenet trust\n")
        options = {
            **self._settings,
            "port": str(self.process.port),
            "unix_socket_directories": str(self.process.folder),
        }
        command = [str(self._programs / "postgres"), "-D", str(self.data)]
        self._started([*command, *(f"--{name}={value}" for name, value in options.items())])
        if first:
            with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
                connection.execute("create database penstock")
        return self

    def _started(self, command: Sequence[str]) -> None:
        gate = threading.Event()
        for _ in range(_TRIES):
            try:
                return self.process.start(command, self._is_ready)
            except StoreUnavailable as error:
                # The children of one that was killed leave a little after it.
                if "pre-existing shared memory block" not in str(error):
                    raise
            gate.wait(0.1)
        raise StoreUnavailable(f"{self.process.name} was killed, and its children do not leave")

    def stop(self) -> None:
        """Shut down at once but in order, ending every connection."""
        self.process.stop()

    def kill(self) -> None:
        """kill -9 of the server; its processes notice, and leave."""
        self.process.kill()

    def remove(self) -> None:
        """End it for good, and delete its folder."""
        self.process.stop()
        self.process.remove()

    def _is_ready(self) -> bool:
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


def _programs() -> Path:
    """The folder with `postgres` and `initdb`; Debian keeps them off the PATH."""
    found = find_program("postgres")
    if found is not None:
        return found.parent
    versions = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    newest = max(versions, key=lambda path: float(path.parent.parent.name), default=None)
    if newest is None:
        raise ConfigError("there is no PostgreSQL server here: install one (Debian: apt-get install postgresql)")
    return newest.parent
