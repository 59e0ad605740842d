"""A private RabbitMQ server."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from penstock.errors import ConfigError
from penstock.testing.servers.process import LOOPBACK, ServerProcess, find_program, free_port
from penstock.testing.servers.server import Server

#: The script itself: the one in the path of root's changes to another user, and forgets the environment.
_SCRIPTS = ("/usr/lib/rabbitmq/bin", "/opt/rabbitmq/sbin")


class RabbitServer(Server):
    """A node of RabbitMQ on free ports, with its own epmd, cookie and folders.

    Parameters:
        durable: its files lie on a disk; without it they may lie in memory, where a confirm waits for nothing.
        settings: lines of rabbitmq.conf.
        joins: a running node, whose cluster it enters.
        tick: seconds after which each quorum queue looks after itself, used or not; where many are left behind, that is most of what the node does.
    """

    def __init__(
        self, *, durable: bool = False, settings: Sequence[str] = (), joins: RabbitServer | None = None, tick: float = 5
    ) -> None:
        self._scripts = _find()
        self._process = ServerProcess("rabbitmq", durable=durable)
        self._joins = joins
        self._joined = False
        self._epmd: int = joins._epmd if joins is not None else free_port()
        self._dist = free_port()
        folder = self._process.folder
        self._name = f"penstock{self.port}@localhost"
        (folder / "rabbitmq.conf").write_text("\n".join([*_SETTINGS, *settings, ""]))
        (folder / "plugins").write_text("[].\n")
        cookie = folder / ".erlang.cookie"
        cookie.write_text((joins._process.folder / ".erlang.cookie").read_text() if joins is not None else "PENSTOCK")
        cookie.chmod(0o600)
        self._environment = {
            "HOME": str(folder), "RABBITMQ_NODENAME": self._name, "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
            "RABBITMQ_NODE_PORT": str(self.port), "RABBITMQ_DIST_PORT": str(self._dist), "ERL_EPMD_PORT": str(self._epmd),
            "ERL_EPMD_ADDRESS": LOOPBACK, "RABBITMQ_MNESIA_BASE": str(folder / "data"), "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"), "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +S 2 +sbwt none"
            f" -rabbit quorum_tick_interval {tick * 1000:.0f}",
            # So that the script becomes the server, and not its parent.
            "RUNNING_UNDER_SYSTEMD": "true", "RABBITMQ_CTL_DIST_PORT_MIN": str(free_port()), "LANG": "C.UTF-8",
        }  # fmt: skip
        self._environment["RABBITMQ_CTL_DIST_PORT_MAX"] = self._environment["RABBITMQ_CTL_DIST_PORT_MIN"]

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._process.port

    @property
    def process(self) -> ServerProcess:
        """The server's process."""
        return self._process

    def url(self, vhost: str = "") -> str:
        """The URL of a vhost on this server."""
        return f"amqp://guest:guest@{LOOPBACK}:{self.port}/{vhost}"

    def start(self) -> Self:
        """Start it, and return when it answers; returns itself. The first time, it enters the cluster."""
        words = [f"{name}={value}" for name, value in self._environment.items()]
        self._process.start(["env", *words, str(self._scripts / "rabbitmq-server")], self._answers)
        if self._joins is not None and not self._joined:
            self.control("stop_app")
            self.control("join_cluster", self._joins._name)
            self.control("start_app")
            self._joined = True
        return self

    def control(self, *words: str) -> None:
        """Run `rabbitmqctl` on it."""
        environment = [f"{name}={value}" for name, value in self._environment.items()]
        self._process.call(["env", *environment, str(self._scripts / "rabbitmqctl"), "-n", self._name, *words])

    def stop(self) -> None:
        """Shut it down in order."""
        with suppress(Exception):
            self.control("stop")
        self._process.kill()

    def kill(self) -> None:
        """kill -9."""
        self._process.kill()

    def remove(self) -> None:
        """End it for good, and delete its folder."""
        self._process.remove()
        if self._joins is None:
            self._end_epmd()

    def _answers(self) -> bool:
        """Does it speak AMQP? A server that still boots may hold the port already."""
        with suppress(OSError), socket.create_connection((LOOPBACK, self.port), 5) as probe:
            probe.settimeout(5)
            probe.sendall(b"AMQP\x00\x00\x09\x01")
            return probe.recv(1) == b"\x01"
        return False

    def _end_epmd(self) -> None:
        """The node started it, and it outlives the node. It obeys its own kill request only when it has seen that no node is left."""
        pause = threading.Event()
        for _ in range(20):
            with suppress(OSError), socket.create_connection((LOOPBACK, self._epmd), 5) as epmd:
                epmd.sendall(b"\x00\x01k")
                if epmd.recv(2) == b"NO":
                    pause.wait(0.05)
                    continue
            return


def _find() -> Path:
    found = find_program("rabbitmq-server", before_path=_SCRIPTS)
    if found is None:
        raise ConfigError(
            "there is no RabbitMQ here: install rabbitmq-server (Debian: apt-get install rabbitmq-server)"
        )
    return Path(os.path.realpath(found)).parent


#: Faults are looked for in what clients are told.
_SETTINGS = (
    "loopback_users = none",
    "disk_free_limit.absolute = 50MB",
    "vm_memory_high_watermark.absolute = 2GB",
    "log.file.level = warning",
    "log.console = false",
)
