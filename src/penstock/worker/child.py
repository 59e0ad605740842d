"""One process as its supervisor sees it: started, spoken to, and replaced when it dies."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from contextlib import suppress

import msgspec

from penstock.core.verdict import Excess
from penstock.worker import link as message
from penstock.worker import memory, tree
from penstock.worker.board import Board
from penstock.worker.lane import ARGUMENTS, Lane, Orders
from penstock.worker.program import Given, Program

#: Seconds that a process has to end once its socket is closed.
_EXIT_SECONDS = 1.0


class Exit(msgspec.Struct, frozen=True):
    """How a process ended.

    Parameters:
        status: 0 or more by itself; less than 0 by the signal of that number.
        peak: the most memory that it had, in bytes.
    """

    status: int
    peak: int

    def __str__(self) -> str:
        if self.status >= 0:
            return f"ended with status {self.status}"
        try:
            return f"was killed by {signal.Signals(-self.status).name}"
        except ValueError:
            return f"was killed by signal {-self.status}"


class Child:
    """A running process.

    Parameters:
        program: what it runs.
        index: which of the worker's lanes it belongs to.
        slots: how many of its lane's may be used for now.
        patient: there were others before it: what it says as it boots is kept, to be told once if it does not come up.

    Raises:
        OSError: the system has no room for another process.
    """

    def __init__(
        self,
        program: Program,
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
        self.mark = f"{worker}.{number}"
        self.board = Board.create(lane.slots, tree.memory_name(self.mark))
        self.link, theirs = socket.socketpair()
        self.link.setblocking(False)
        try:
            self.pid = self._start(program, worker, lane, slots, theirs, burst=burst, verbose=verbose, patient=patient)
        except OSError:
            self.link.close()
            self.board.close()
            raise
        # Its end of the socket may live on in a child of its own; this tells when it has ended itself.
        self.descriptor = _open_process(self.pid)
        self.started_at = time.monotonic()
        self.booted_at: float | None = None
        #: It was told that it may take jobs.
        self.going = False
        self.idle = False
        #: While it is idle, the store sends it what is ready.
        self.stands_by = False
        self.slots = slots
        #: It takes no more jobs, or was told not to: another may take its place.
        self.leaving = False
        #: It was told to leave since it has too much memory, of which it may keep so much.
        self.draining = False
        #: The memory that it had when it came up, in bytes: with none of what jobs leave behind.
        self.fresh_bytes = 0
        self.max_memory = lane.max_memory_per_process
        #: It is being ended with no fault of the jobs that it runs.
        self.interrupted = False
        #: The jobs that it is being killed for.
        self.excess: dict[bytes, Excess] = {}
        #: Since when its limits are looked at, in monotonic seconds; None where they are not.
        self.watched_since: float | None = None
        #: When it last said something, or ran a job, or rested, in monotonic seconds.
        self.shown_at = self.started_at
        #: When it closed its end of the socket, in monotonic seconds.
        self.deaf_since: float | None = None
        self.heard = b""
        self.peak_bytes = 0

    def _start(
        self,
        program: Program,
        worker: str,
        lane: Lane,
        slots: int,
        theirs: socket.socket,
        *,
        burst: bool,
        verbose: bool,
        patient: bool,
    ) -> int:
        """Start the process, with its end of the socket, which is closed here."""
        stderr = _duplicate_stderr() if patient else -1
        passed = [theirs.fileno(), self.board.descriptor, *([stderr] if stderr >= 0 else [])]
        told = msgspec.structs.replace(lane, arguments=None)
        orders = Orders(
            worker, self.number, theirs.fileno(), self.board.descriptor, told, burst, verbose, patient, slots, stderr
        )
        arguments = {ARGUMENTS: msgspec.json.encode(lane.arguments).decode()} if lane.arguments else {}
        try:
            given = Given(
                passed, {**arguments, tree.MARK: self.mark}, self.board.descriptor if stderr >= 0 else None, lane.stdin
            )
            return program.start(msgspec.json.encode(orders).decode(), lane.pool, given)
        finally:
            theirs.close()
            if stderr >= 0:
                os.close(stderr)

    @property
    def booted(self) -> bool:
        """Has it come up?"""
        return self.booted_at is not None

    @property
    def resting(self) -> bool:
        """Has it nothing to do? One of a single slot that the store has sent a job does not say so, and it is seen on its board."""
        return self.idle and not (self.board.slots == 1 and self.board.busy())

    def tell(self, message: bytes) -> None:
        """Send a command; a process that is gone tells by its end of the socket."""
        with suppress(OSError):
            self.link.send(message)

    def go(self) -> None:
        """Have it take jobs, once it has come up. Before that word it would take any other for it."""
        if self.booted and not self.going:
            self.going = True
            self.tell(message.GO)

    def use(self, slots: int) -> None:
        """Have so many of its slots used, once it takes jobs; nothing to do where it is so."""
        if self.going and slots != self.slots:
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

    def watch(self) -> None:
        """It runs a job with a limit: look at them from now on."""
        self.watched_since = time.monotonic()
        self.board.watched = True

    def kill(self) -> None:
        """End the process, and those it started, now."""
        tree.end_tree(self.pid, self.mark)

    def end(self) -> None:
        """The same, with no fault of the jobs that it runs."""
        self.interrupted = True
        self.kill()

    def reap(self) -> Exit:
        """Collect the process that has ended or is about to, ending it if it does not, and all that it started."""
        deadline = time.monotonic() + _EXIT_SECONDS
        while (ended := os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is None:
            if time.monotonic() > deadline:
                self.kill()
                deadline += _EXIT_SECONDS
            time.sleep(0.001)
        # As long as it is not collected, its number is nobody else's.
        if ended.si_code == os.CLD_EXITED and ended.si_status == 0:
            with suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)
        else:
            tree.end_tree(self.pid, self.mark)
        _, status, usage = os.wait4(self.pid, 0)
        self.link.close()
        if self.descriptor is not None:
            os.close(self.descriptor)
        unit = 1 if sys.platform == "darwin" else 1024
        return Exit(os.waitstatus_to_exitcode(status), max(self.peak_bytes, usage.ru_maxrss * unit))

    def sample_peak(self) -> int:
        """The most memory it has had so far, in bytes; 0 where the system does not tell."""
        self.peak_bytes = max(self.peak_bytes, memory.peak(self.pid))
        return self.peak_bytes


def _open_process(pid: int) -> int | None:
    """A descriptor that is readable when a process has ended; None where the system has none, or forbids it."""
    if hasattr(os, "pidfd_open"):
        with suppress(OSError):
            return os.pidfd_open(pid)
    return None


def _duplicate_stderr() -> int:
    try:
        return os.dup(2)
    except OSError:
        return -1  # a worker may run without one
