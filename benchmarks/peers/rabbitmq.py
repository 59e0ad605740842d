"""RabbitMQ: one private node, with an epmd and a cookie of its own, that listens at the loopback interface only."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.idle import family
from penstock.testing.servers.process import LOOPBACK, ServerProcess, free_port

#: Where Debian keeps the scripts that do not insist on a user.
_PROGRAMS = Path("/usr/lib/rabbitmq/bin")


class RabbitBroker:
    """A node that is a cluster of one: quorum queues have one replica, which writes to the disk before it confirms."""

    name = "RabbitMQ"

    def __init__(self) -> None:
        if not (_PROGRAMS / "rabbitmq-server").exists():
            raise SystemExit(
                "there is no RabbitMQ here: install rabbitmq-server (Debian: apt-get install rabbitmq-server)"
            )
        self._server = ServerProcess("rabbitmq", durable=True)
        self._names = ServerProcess("epmd")
        self._environment = _environment(self._server.folder, self._server.port, self._names.port)
        self._numbers = itertools.count(1)

    @property
    def pid(self) -> int:
        """See `Broker`."""
        return self._server.pid

    @property
    def settings(self) -> str:
        """See `Broker`."""
        return f"RabbitMQ {self._ask('version')}, one node, quorum queues, persistent messages, publisher confirms"

    def new(self) -> str:
        """See `Broker`: a virtual host of its own."""
        name = f"bench{next(self._numbers)}"
        self._ask("add_vhost", name)
        self._ask("set_permissions", "-p", name, "guest", ".*", ".*", ".*")
        return f"amqp://guest:guest@{LOOPBACK}:{self._server.port}/{name}"

    def __enter__(self) -> Self:
        epmd = shutil.which("epmd") or "epmd"
        self._names.start([epmd, "-port", str(self._names.port), "-address", LOOPBACK], lambda: _open(self._names.port))
        variables = [f"{name}={value}" for name, value in self._environment.items()]
        self._server.start(["env", *variables, str(_PROGRAMS / "rabbitmq-server")], lambda: _open(self._server.port))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # The process that was started is a script: the node is its child, and outlives it.
        for pid in family(self._server.pid)[:0:-1]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._server.remove()
        self._names.remove()

    def _ask(self, *words: str) -> str:
        command = [str(_PROGRAMS / "rabbitmqctl"), "--quiet", *words]
        done = subprocess.run(
            command, env={**os.environ, **self._environment}, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"rabbitmqctl {' '.join(words)} failed: {(done.stderr or done.stdout).strip()}")
        return done.stdout.strip()


def _environment(folder: Path, port: int, names: int) -> Mapping[str, str]:
    plugins = folder / "plugins"
    plugins.write_text("[].\n")
    return {
        "HOME": str(folder),
        "ERL_EPMD_PORT": str(names),
        "ERL_EPMD_ADDRESS": LOOPBACK,
        "RABBITMQ_NODENAME": "penstock@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
    }


def _open(port: int) -> bool:
    with suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=1):
        return True
    return False
