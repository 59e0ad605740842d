"""Worker processes that a program runs for itself, for as long as there is work or until it stops them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from penstock.app import Penstock, load_app
from penstock.brokers.inspect import Inspector
from penstock.core.metrics import Point
from penstock.errors import ConfigError, StoreUnavailable
from penstock.events.emit import Emitter
from penstock.worker.cores import standard_processes
from penstock.worker.lane import Lane
from penstock.worker.program import Program
from penstock.worker.supervisor import DEFAULT_GRACE, Supervisor

#: What the processes of a worker run.
_PROGRAM = Program("penstock.cli.process")
#: Seconds between two looks whether there is work left.
_LOOK = 0.05


class Workers:
    """The processes of a worker, run by this program: what `penstock worker` is, without another command.

        Workers("shop:app", 4).run_until_empty()

        with Workers("shop:app", 4):
            ...

    Parameters:
        target: "package.module:attribute" of an app, or of a function that makes one when called with `arguments`; each process
            imports it.
        processes: how many; 2 a core without.
        pool, slots: of each process, as `penstock worker --pool` and `-c`.
        queues: to take from; all that the app's tasks name without.
        arguments: of the function; they are not seen in a list of processes.
        app: the one that the target makes, where the program has it already.
        grace: seconds that running jobs have when they are to stop.
        quiet: the processes log nothing.
        emitter: is told of what happens; see `penstock.events`.
        first: lanes of other processes, which come up before these and run beside them.
    """

    def __init__(
        self,
        target: str,
        processes: int | None = None,
        *,
        pool: str = "prefork",
        slots: int = 1,
        queues: Sequence[str] | None = None,
        arguments: dict[str, str] | None = None,
        app: Penstock | None = None,
        grace: float = DEFAULT_GRACE,
        quiet: bool = False,
        emitter: Emitter | None = None,
        first: Sequence[Lane] = (),
    ) -> None:
        processes = standard_processes() if processes is None else processes
        if processes < 1:
            raise ConfigError(f"workers are 1 or more processes, not {processes!r}")
        self._app = app or load_app(target, arguments)
        self._queues = tuple(self._app.queues if queues is None else queues)
        lane = Lane(target, processes, pool, slots, self._queues, arguments, quiet=quiet)
        self._supervisor = Supervisor(_PROGRAM, [*first, lane], emitter or Emitter(), grace=grace)
        self._thread: threading.Thread | None = None
        self._status = 0

    def run_until_empty(self, show: Callable[[], None] | None = None, every: float = 0.1) -> None:
        """Work until nothing waits, runs or is to be tried again in the queues.

        A first SIGINT or SIGTERM lets running jobs end, and then raises `KeyboardInterrupt`; what is left stays in the queues.

        Parameters:
            show: called in between, about once in `every` seconds, and in the end.

        Raises:
            ConfigError: the processes could not be started.
        """
        shown, empty = 0.0, False

        def look() -> bool:
            nonlocal shown, empty
            now = time.monotonic()
            if show is not None and now - shown >= every:
                shown = now
                show()
            if not self._supervisor.stopping:
                empty = self.is_empty()
            return empty

        self.run_until(look, _LOOK)
        if show is not None:
            show()
        if not empty:
            raise KeyboardInterrupt

    def run_until(self, enough: Callable[[], bool], every: float) -> None:
        """Work until it is enough, or until a first SIGINT or SIGTERM lets running jobs end.

        Parameters:
            enough: asked about once in `every` seconds, also while they stop.

        Raises:
            ConfigError: the processes could not be started.
        """
        asked = 0.0

        def look() -> None:
            nonlocal asked
            now = time.monotonic()
            if now - asked < every:
                return
            asked = now
            self._supervisor.peak_bytes()
            if enough() and not self._supervisor.stopping:
                self._supervisor.stop()

        self._check(self._supervisor.run(look, every))

    def is_empty(self) -> bool:
        """Is there nothing left to do in the queues? Not while the store is away."""
        client = self._app.client
        try:
            with client.broker() as broker:
                if broker.backlog(self._queues).ready:
                    return False
                # Where jobs are messages, one that runs is not counted.
                if not broker.keeps_records and any(lane.resting < lane.booted for lane in self._supervisor.lanes()):
                    return False
            with client.inspector() as inspector:
                # Twice: a store without snapshots counts state by state, and may miss a job that goes from one to the next.
                return not any(self._count(inspector) for _ in range(2))
        except StoreUnavailable:
            return False

    def _count(self, inspector: Inspector) -> int:
        counts = [each for each in inspector.count() if each.queue in self._queues]
        return sum(each.ready + each.running + each.delayed for each in counts)

    def start(self) -> Self:
        """Start, and return when the first process is up; the others come up meanwhile. They run until `stop`.

        Raises:
            ConfigError: the processes could not be started.
        """
        if self._thread is not None:
            raise ConfigError("these workers have been started already: make others")
        up = threading.Event()
        self._supervisor.registered = lambda url: up.set()

        def run() -> None:
            try:
                self._status = self._supervisor.run()
            finally:
                up.set()

        self._thread = threading.Thread(target=run, name="penstock-workers")
        self._thread.start()
        up.wait()
        self._check(self._status)
        return self

    def stop(self) -> None:
        """Let running jobs end within the grace, and return when all processes are gone; what waits stays in the queues."""
        if self._thread is not None:
            self._supervisor.peak_bytes()
            self._supervisor.stop()
            self._thread.join()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is left to do in the queues, or the workers have ended; False after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        gate = threading.Event()
        while self.alive and not self.is_empty():
            self._supervisor.peak_bytes()
            if deadline is not None and time.monotonic() >= deadline:
                return False
            gate.wait(_LOOK)
        return True

    @property
    def stopping(self) -> bool:
        """Were they told to stop?"""
        return self._supervisor.stopping

    @property
    def alive(self) -> bool:
        """Were they started, and have they not ended?"""
        return self._thread is not None and self._thread.is_alive()

    def figures(self) -> Point:
        """What they have counted so far, and what they have now: jobs by how they ended, batch sizes, caches, memory."""
        return self._supervisor.figures()

    def peak_bytes(self) -> int:
        """The sum of the most memory that this program and each process has had."""
        return self._supervisor.peak_bytes()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _check(self, status: int) -> None:
        if status:
            raise ConfigError("the worker processes could not be started, or had to stop: the lines above say why")
