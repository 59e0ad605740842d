"""A private Redis server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import redis
from redis.exceptions import RedisError

from penstock.errors import ConfigError
from penstock.testing.servers.process import LOOPBACK, ServerProcess, find_program
from penstock.testing.servers.server import Server


class RedisServer(Server):
    """`redis-server` on a free port.

    Parameters:
        appendfsync: `always`, `everysec` or `no` writes a file of all commands; without it nothing is kept, and tests are faster.
        options: further words for its command line.
        address: of this machine, where it listens.
    """

    def __init__(self, *, appendfsync: str | None = None, options: Sequence[str] = (), address: str = LOOPBACK) -> None:
        found = find_program("redis-server", "valkey-server")
        if found is None:
            raise ConfigError(
                "there is no Redis server here: install redis-server (Debian: apt-get install redis-server)"
            )
        #: The server's program, which is a sentinel's as well.
        self.program = str(found)
        self._process = ServerProcess("redis", durable=False)
        self._address = address
        self._command = [self.program, "--bind", address, "--port", str(self.port), "--dir", str(self._process.folder)]
        # Whoever reaches the address may come in.
        self._command += ["--protected-mode", "no"]
        self._command += [
            "--save",
            "",
            "--repl-diskless-sync-delay",
            "0",
            "--appendonly",
            "no" if appendfsync is None else "yes",
        ]
        if appendfsync is not None:
            self._command += ["--appendfsync", appendfsync]
        self._command += options

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._process.port

    @property
    def process(self) -> ServerProcess:
        """The server's process."""
        return self._process

    def url(self, database: int = 0) -> str:
        """The URL of a database on this server."""
        return f"redis://{self._address}:{self.port}/{database}"

    def is_copied_to(self, replica: Self) -> bool:
        """Has a replica of this server all that this one had when it was asked?

        `WAIT` tells that of what its own connection has written, and of nothing else.
        """
        ours, theirs = self._replication(), replica._replication()
        follows = theirs["role"] == "slave" and theirs["master_link_status"] == "up"
        return follows and int(theirs["slave_repl_offset"]) >= int(ours["master_repl_offset"])

    def start(self) -> Self:
        """Start it, and return when it answers; returns itself."""
        self._process.start(self._command, self._answers)
        return self

    def stop(self) -> None:
        """Shut it down in order."""
        self._process.stop()

    def kill(self) -> None:
        """kill -9."""
        self._process.kill()

    def remove(self) -> None:
        """End it for good, and delete its folder."""
        self._process.remove()

    def _replication(self) -> dict[str, Any]:
        with redis.Redis(self._address, self.port, socket_timeout=5, protocol=2) as client:
            told: dict[str, Any] = client.execute_command("INFO", "replication")
        return told

    def _answers(self) -> bool:
        """Does it answer, be it that it wants a password?"""
        with redis.Redis(self._address, self.port, socket_timeout=5, protocol=2) as client:
            try:
                client.execute_command("PING")
            except RedisError as error:
                return "uthentica" in str(error)
        return True
