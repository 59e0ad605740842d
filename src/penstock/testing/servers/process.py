"""One server process in a folder of its own, which ends with the program that started it."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from penstock.errors import ConfigError, StoreUnavailable

LOOPBACK = "127.0.0.1"
_PATIENCE = 60.0
_SHARED_MEMORY = "/dev/shm"
_ROOM = 4 << 30
#: The ports that servers get: from where, how many, and how many are tried.
_FIRST, _PORTS, _TRIES = 10_000, 22_000, 100


def find_program(*names: str, before_path: Sequence[str] = ()) -> Path | None:
    """Where the first of these programs is that there is.

    Parameters:
        before_path: folders that are looked at before those of the path. Before any other comes the folder that `PENSTOCK_SERVERS` names, for
            servers of another version.
    """
    for path in (os.environ.get("PENSTOCK_SERVERS", ""), os.pathsep.join(before_path), None):
        for name in names:
            found = shutil.which(name, path=path)
            if found is not None:
                return Path(found)
    return None


class ServerProcess:
    """Starts, stops, kills and freezes one server. Not thread-safe.

    A server dies with the thread that started it: start it in the main thread.

    Parameters:
        name: what to call it in errors, and its folder.
        user: whom it runs as where this program is root, for a server that refuses to be root.
        durable: its files lie on a disk; without it they may lie in memory, where a commit waits for nothing.
    """

    def __init__(self, name: str, user: str | None = None, *, durable: bool = False) -> None:
        self.name = name
        self.folder = Path(tempfile.mkdtemp(prefix=f"penstock-{name}-", dir=None if durable else _memory()))
        self.port = free_port()
        self._user = user if os.geteuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None
        if self._user is not None:
            try:
                entry = pwd.getpwnam(self._user)
            except KeyError:
                raise ConfigError(
                    f"{name} does not run as root, and there is no user {self._user}: create it"
                ) from None
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self._process is not None, f"{self.name} is not running"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Has it been started, and not ended?"""
        return self._process is not None and self._process.poll() is None

    def call(self, command: Sequence[str]) -> None:
        """Run a command to its end as the server's user."""
        done = subprocess.run(self._as_user(command), capture_output=True, text=True, check=False, cwd=self.folder)
        if done.returncode:
            raise StoreUnavailable(f"{command[0]} failed: {(done.stderr or done.stdout).strip()[-500:]}")

    def start(self, command: Sequence[str], is_ready: Callable[[], bool]) -> None:
        """Start the server, and return when it is ready.

        Raises:
            StoreUnavailable: it ended, or was not ready within a minute.
        """
        guarded = ["setpriv", "--pdeathsig", "INT", *self._as_user(command)]
        log = self.folder / "server.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                guarded, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=self.folder, start_new_session=True
            )
        deadline = time.monotonic() + _PATIENCE
        gate = threading.Event()
        while not is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                tail = log.read_text("utf-8", "replace")[-2000:]
                raise StoreUnavailable(f"{self.name} did not start: {tail}")
            gate.wait(0.02)

    def stop(self) -> None:
        """End it in order, and wait until it has ended."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """SIGSTOP: it holds its connections, and answers none."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        os.kill(self.pid, signal.SIGCONT)

    def remove(self) -> None:
        """End it, and delete its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(how)
            try:
                self._process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None

    def _as_user(self, command: Sequence[str]) -> list[str]:
        if self._user is None:
            return list(command)
        return ["setpriv", "--reuid", self._user, "--regid", self._user, "--clear-groups", *command]


def _memory() -> str | None:
    """A folder in memory with room for a server or two, where there is one."""
    with suppress(OSError):
        if shutil.disk_usage(_SHARED_MEMORY).free >= _ROOM:
            return _SHARED_MEMORY
    return None


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens at.

    It is none of those that Linux gives to outgoing connections: while a server boots, one of them might take it.
    """
    for _ in range(_TRIES):
        port = _FIRST + secrets.randbelow(_PORTS)
        with suppress(OSError), socket.socket() as probe:
            probe.bind((LOOPBACK, port))
            return port
    raise StoreUnavailable(f"none of {_TRIES} ports from {_FIRST} on was free: end some servers")
