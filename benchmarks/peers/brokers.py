"""The brokers that the contest is on: private servers, set up to keep what they take."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from penstock.testing.servers import RedisServer


class Broker(Protocol):
    """A running server."""

    name: str

    @property
    def settings(self) -> str:
        """How it is set up, in words, with its version."""

    @property
    def pid(self) -> int:
        """Of its process."""

    def new(self) -> str:
        """The URL of a queue with nothing in it."""


class RedisBroker:
    """Redis that writes a file of all commands, and has the disk confirm it every second."""

    name = "Redis"

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self.pid = server.process.pid
        version = subprocess.run(["redis-server", "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
        self.settings = f"Redis {version.partition('v=')[2].split()[0]}, appendonly yes, appendfsync everysec"

    def new(self) -> str:
        """See `Broker`."""
        import redis

        with redis.Redis.from_url(self._server.url()) as client:
            client.execute_command("FLUSHALL")
        return self._server.url()


@contextmanager
def broker(name: str, place: Path) -> Iterator[Broker]:
    """Start the one of a name, with its files in a folder."""
    if name == "Redis":
        with RedisServer(appendfsync="everysec", options=("--dir", str(place))) as server:
            yield RedisBroker(server)
    else:
        from benchmarks.peers.rabbitmq import RabbitBroker

        with RabbitBroker() as server:
            yield server
