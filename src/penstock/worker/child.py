"""One process as its supervisor sees it: started, spoken to, and replaced when it dies."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from penstock.worker import link as message
from penstock.worker.board import Board


class Lane(msgspec.Struct, frozen=True):
    """A kind of process, and how many of them run.

    Parameters:
        target: "package.module:attribute" of an app, or of a function that makes one when called with `arguments`.
        queues: to take from; None for all that the app's tasks name, but for those of `others`.
        others: queues that other lanes of the worker take from.
        least, most: slots in all between which the lane's size follows the work; None where it does not.
        stdin: the process inherits standard input.
        quiet: the process logs nothing; whoever started it shows what happens.
        max_jobs_per_process: after so many a process leaves, and another takes its place.
        max_memory_per_process: bytes; the same when it has more after a job.
    """

    target: str
    processes: int
    pool: str = "prefork"
    slots: int = 1
    queues: tuple[str, ...] | None = None
    arguments: dict[str, str] | None = None
    stdin: bool = False
    quiet: bool = False
    others: tuple[str, ...] = ()
    least: int | None = None
    most: int | None = None

    def takes(self, known: Sequence[str]) -> tuple[str, ...]:
        """The queues to take from, where the app's tasks name those that are `known`."""
        return tuple(name for name in known if name not in self.others) if self.queues is None else self.queues


class Orders(msgspec.Struct, frozen=True):
    """What a process is told on its command line.

    `patient` says that the store was there before: if it is away, it comes back. `slots` may be used for now.
    """

    worker: str
    process: int
    link: int
    board: int
    lane: Lane
    burst: bool
    verbose: bool
    patient: bool
    slots: int


class Child:
    """A running process.

    A fresh interpreter rather than a fork: the supervisor has threads and an open store, and a fork would carry both
    into user code (docs/adr/0003-spawn.md).
    """

    def __init__(
        self,
        module: str,
        worker: str,
        number: int,
        index: int,
        lane: Lane,
        slots: int,
        *,
        burst: bool,
        verbose: bool,
        patient: bool,
    ) -> None:
        self.number = number
        #: Which of the worker's lanes it belongs to.
        self.lane = index
        self.board = Board.create(lane.slots)
        self.link, theirs = socket.socketpair()
        self.link.setblocking(False)
        orders = Orders(worker, number, theirs.fileno(), self.board.descriptor, lane, burst, verbose, patient, slots)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, msgspec.json.encode(orders).decode()],
                pass_fds=(theirs.fileno(), self.board.descriptor),
                stdin=None if lane.stdin else subprocess.DEVNULL,
                process_group=0,
            )
        self.pid = self._process.pid
        self.started_at = time.monotonic()
        self.booted_at: float | None = None
        self.idle = False
        self.slots = slots
        self.leaving = False
        self.heard = b""
        self.peak_kilobytes = 0

    @property
    def booted(self) -> bool:
        """Has it come up?"""
        return self.booted_at is not None

    def tell(self, message: bytes) -> None:
        """Send a command; a process that is gone tells by its end of the socket."""
        with suppress(OSError):
            self.link.send(message)

    def use(self, slots: int) -> None:
        """Have so many of its slots used, once it has come up; nothing to do where it is so."""
        if self.booted and slots != self.slots:
            self.slots = slots
            self.tell(message.SLOTS + slots.to_bytes(message.NUMBER_SIZE))

    def listen(self) -> bytes | None:
        """What the process says; None when it is gone."""
        try:
            return self.link.recv(65536) or None
        except BlockingIOError:
            return b""
        except OSError:
            return None

    def kill(self) -> None:
        """End the process, and those it started, now."""
        with suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)

    def reap(self) -> int:
        """Collect the process that has closed its socket, ending it if it has not ended; returns its exit status."""
        try:
            self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
        self.kill()  # what it started itself
        self.link.close()
        return self._process.returncode

    def sample_memory(self) -> int:
        """The most memory it has had so far, in kilobytes; 0 where the system does not tell."""
        with suppress(OSError), open(f"/proc/{self.pid}/status", encoding="ascii", errors="replace") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    self.peak_kilobytes = max(self.peak_kilobytes, int(line.split()[1]))
        return self.peak_kilobytes


def describe_exit(status: int) -> str:
    """An exit status in words."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"
