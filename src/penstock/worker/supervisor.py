"""The supervisor: starts processes, wakes as many as there is work for, replaces the dead, and stops them in order.

It loads no user code, so nothing of the user's can hang it. What it needs to know of the app, each process says when
it has booted.
"""

from __future__ import annotations

import os
import secrets
import selectors
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from penstock.brokers.base import WorkerInfo
from penstock.brokers.inspect import LaneRecord, RunningJob
from penstock.core.job import Holder
from penstock.core.text import without_password
from penstock.events.emit import Emitter, ProcessDied, WorkerStarted, WorkerStopped, WorkerStopping
from penstock.worker import link as message
from penstock.worker.child import Child, Lane, describe_exit
from penstock.worker.crew import Crew, LaneState
from penstock.worker.link import Hello
from penstock.worker.upkeep import Upkeep

DEFAULT_GRACE = 25.0
_QUIT_SECONDS = 2.0


class Supervisor:
    """Runs the processes of one worker.

    Parameters:
        module: run as `python -m MODULE ORDERS` for each process.
        lanes: what processes to run.
        grace: seconds that running jobs have after the first signal to stop.
        burst: each process ends when its queues are empty, and none is replaced that did.
    """

    def __init__(
        self,
        module: str,
        lanes: Sequence[Lane],
        emitter: Emitter,
        *,
        grace: float = DEFAULT_GRACE,
        burst: bool = False,
        verbose: bool = False,
    ) -> None:
        self.id = secrets.token_hex(16)
        self._module = module
        self._crews = [Crew(index, lane) for index, lane in enumerate(lanes)]
        self._emitter = emitter
        self._grace = grace
        self._burst = burst
        self._verbose = verbose
        #: Called with the URL of the store when the first process has come up.
        self.registered: Callable[[str], None] = _nobody
        self._selector = selectors.DefaultSelector()
        self._bell, self._ringer = socket.socketpair()
        self._signals, self._signaller = socket.socketpair()
        for end in (self._bell, self._signals, self._signaller):
            end.setblocking(False)
        self._anyone_idle = threading.Event()
        self._children: dict[int, Child] = {}
        self._boards = threading.Lock()
        self._numbers = 0
        self._upkeep: Upkeep | None = None
        self._stops: deque[str] = deque()
        self._deadline: float | None = None
        self._quitting = False
        self._failed = False
        self._peak_of_the_gone = 0

    def run(self, each_round: Callable[[], None] | None = None, every: float = 1.0) -> int:
        """Run until stopped (or, in a burst, until all processes have ended); returns an exit status.

        Parameters:
            each_round: called in between, at least once in `every` seconds; may call `stop`.
        """
        previous = self._take_signals()
        self._selector.register(self._bell, selectors.EVENT_READ)
        self._selector.register(self._signals, selectors.EVENT_READ)
        try:
            # One first: when the app can't be started, it says so once, and not once a process.
            self._spawn(next(crew for crew in self._crews if crew.wanted))
            while self._children or (self._deadline is None and any(crew.wanted for crew in self._crews)):
                self._step(every)
                if each_round is not None:
                    each_round()
        finally:
            self._end()
            self._restore_signals(previous)
        return 1 if self._failed else 0

    def stop(self, how: str = "asked to") -> None:
        """Stop: the first time running jobs may finish within the grace, the second time they are given back.

        Safe from any thread; done in the one that runs.
        """
        self._stops.append(how)
        self._ring_bell()

    def _stop(self, how: str) -> None:
        if self._deadline is None:
            self._deadline = time.monotonic() + self._grace
            self._emitter.emit(WorkerStopping(f"{how}; running jobs have {self._grace:g} s"))
            for child in self._children.values():
                child.leaving = True
                if child.booted:
                    child.tell(message.STOP)
                else:
                    child.kill()  # it holds nothing, and listens only when it has booted
        else:
            self._quit()

    def resize(self, lane: int, processes: int, slots: int | None = None, why: str = "") -> None:
        """Have so many processes in a lane, soon. Safe from any thread.

        Those that are too many finish what they run; resting ones leave first.

        Parameters:
            lane: which, counted from 0 as they were given.
            processes: how many there should be; 0 is none.
            slots: how many of each process may be used; as many as now without.
            why: shown beside it.
        """
        crew = self._crews[lane]
        crew.wanted, crew.why, crew.slots = processes, why, slots or crew.slots
        self._ring_bell()

    def lanes(self) -> list[LaneState]:
        """How each lane stands. Safe from any thread."""
        with self._boards:
            return [crew.state() for crew in self._crews]

    @property
    def stopping(self) -> bool:
        """Was it told to stop, or could it not start?"""
        return self._deadline is not None or bool(self._stops)

    def peak_kilobytes(self) -> int:
        """The sum of the most memory that this process and each that runs has had."""
        own = 0
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:
            own = next((int(line.split()[1]) for line in status if line.startswith("VmHWM:")), 0)
        alive = own + sum(child.sample_memory() for child in self._children.values())
        self._peak_of_the_gone = max(self._peak_of_the_gone, alive)
        return self._peak_of_the_gone

    def _step(self, longest: float) -> None:
        for key, _ in self._selector.select(self._next_deadline(longest)):
            if key.fileobj is self._bell:
                self._bell.recv(4096)
                self._wake_one()
            elif key.fileobj is self._signals:
                for number in self._signals.recv(64):
                    self._stop(f"got {signal.Signals(number).name}")
            else:
                self._hear(key.data)
        if self._upkeep is not None and self._upkeep.ended and not self.stopping:
            # Nobody says any more that this worker lives, so others will take its jobs.
            self._failed = True
            self._stop("the heartbeats have ended by the error above")
        while self._stops:
            self._stop(self._stops.popleft())
        self._fill()
        now = time.monotonic()
        if self._deadline is not None and now >= self._deadline:
            if self._quitting:
                for child in self._children.values():
                    child.kill()
            self._quit()

    def _next_deadline(self, longest: float) -> float:
        times = [at for crew in self._crews if (at := crew.due()) is not None]
        if self._deadline is not None:
            times.append(self._deadline)
        return max(0.0, min([longest, *(at - time.monotonic() for at in times)]))

    def _quit(self) -> None:
        self._quitting = True
        self._deadline = time.monotonic() + _QUIT_SECONDS
        for child in self._children.values():
            child.tell(message.QUIT)

    def _fill(self) -> None:
        """Start the processes that are lacking, and tell those to leave that are too many."""
        if self.stopping or self._upkeep is None:
            return
        for crew in self._crews:
            for child in crew.staying:
                child.use(crew.slots)
            for _ in range(crew.lacking(time.monotonic())):
                self._spawn(crew)
            for child in crew.surplus():
                child.leaving = True
                if child.booted:
                    child.tell(message.STOP)
                else:
                    child.kill()  # it holds nothing, and listens only when it has booted

    def _spawn(self, crew: Crew) -> None:
        self._numbers += 1
        known = self._upkeep is not None
        child = Child(
            self._module, self.id, self._numbers, crew.index, crew.lane, crew.slots,
            burst=self._burst, verbose=self._verbose, patient=known,
        )  # fmt: skip
        with self._boards:
            self._children[child.number] = crew.members[child.number] = child
        self._selector.register(child.link, selectors.EVENT_READ, child)

    def _hear(self, child: Child) -> None:
        said = child.listen()
        if said is None:
            self._bury(child)
            return
        if not child.booted:
            child.heard += said
            line, newline, said = child.heard.partition(b"\n")
            if not newline:
                return
            self._welcome(child, msgspec.json.decode(line, type=Hello))
        if message.MORE in said:
            self._wake_one()
        if said:
            # The last word counts: a process says IDLE as it goes to rest.
            child.idle = said.endswith(message.IDLE)
            self._show_idle()
        if message.LEAVING in said:
            child.leaving = True

    def _welcome(self, child: Child, hello: Hello) -> None:
        child.booted_at = time.monotonic()
        self._crews[child.lane].came_up(hello.queues)
        if self._upkeep is None:
            self._register(hello)
        child.tell(message.GO)

    def _register(self, hello: Hello) -> None:
        """The first process is up, and has said where the store is: put this worker on its list."""
        lanes = [crew.lane for crew in self._crews]
        queues = tuple(dict.fromkeys([*hello.queues, *(name for lane in lanes for name in lane.queues or ())]))
        slots = sum(lane.most or lane.processes * lane.slots for lane in lanes)
        pool = "+".join(sorted({lane.pool for lane in lanes}))
        info = WorkerInfo(self.id, socket.gethostname(), os.getpid(), pool, slots, queues, time.time())
        self._upkeep = Upkeep(
            hello.url, info, hello.tasks, self._running, self._ring, self._emitter, self._lane_records
        )
        self._upkeep.start()
        self.registered(hello.url)
        processes = sum(lane.processes for lane in lanes)
        url = without_password(hello.url)
        self._emitter.emit(WorkerStarted(self.id, pool, processes, slots // processes, queues, url))

    def _bury(self, child: Child) -> None:
        """A process is gone: give back what it held, and start another unless it was to leave."""
        self._selector.unregister(child.link)
        crashed = tuple(job.id for job in child.board.running())
        status = child.reap()
        crew = self._crews[child.lane]
        with self._boards:
            child.board.close()
            del self._children[child.number], crew.members[child.number]
        self._show_idle()
        in_order = status == 0 and not crashed
        if self._upkeep is not None and not in_order:
            self._upkeep.abandon(Holder(self.id, child.number), () if child.leaving else crashed)
        if child.leaving:
            return
        if self._burst and in_order:
            crew.wanted -= 1
            return
        if self._upkeep is None:
            # No process ever came up: what it wrote to standard error says why.
            self._failed = True
            self._deadline = time.monotonic()
            return
        self._emitter.emit(ProcessDied(child.pid, describe_exit(status), crashed, crew.lost(child, bool(crashed))))

    def _running(self) -> list[RunningJob]:
        """What runs in all processes; asked for by the upkeep's thread."""
        with self._boards:
            return [job for child in self._children.values() for job in child.board.running()]

    def _lane_records(self) -> list[LaneRecord]:
        """The lanes as each heartbeat tells of them; asked for by the upkeep's thread."""
        return [
            LaneRecord(state.queues, state.lane.pool, state.processes, state.slots, state.busy,
                       state.lane.least, state.lane.most, state.why)
            for state in self.lanes()
        ]  # fmt: skip

    def _ring(self) -> None:
        """In the listening thread: hold it here while nobody is idle, so that rings cost a busy worker nothing."""
        self._anyone_idle.wait()
        self._ring_bell()

    def _ring_bell(self) -> None:
        with suppress(OSError):  # stopped in the meantime
            self._ringer.send(b"!")

    def _wake_one(self) -> None:
        for child in self._children.values():
            if child.idle:
                child.idle = False
                child.tell(message.WAKE)
                break
        self._show_idle()

    def _show_idle(self) -> None:
        if any(child.idle for child in self._children.values()):
            self._anyone_idle.set()
        else:
            self._anyone_idle.clear()

    def _take_signals(self) -> list[tuple[int, Any]]:
        if threading.current_thread() is not threading.main_thread():
            return []
        signal.set_wakeup_fd(self._signaller.fileno(), warn_on_full_buffer=False)
        return [(number, signal.signal(number, _noted)) for number in (signal.SIGTERM, signal.SIGINT)]

    def _restore_signals(self, previous: list[tuple[int, Any]]) -> None:
        for number, handler in previous:
            signal.signal(number, handler)
        if previous:
            signal.set_wakeup_fd(-1)

    def _end(self) -> None:
        for child in list(self._children.values()):
            child.kill()
            self._bury_quietly(child)
        if self._upkeep is not None:
            self._anyone_idle.set()
            self._upkeep.stop()
            self._emitter.emit(WorkerStopped())
        self._selector.close()
        for end in (self._bell, self._ringer, self._signals, self._signaller):
            end.close()

    def _bury_quietly(self, child: Child) -> None:
        child.leaving = True
        self._bury(child)


def _noted(number: int, frame: object) -> None:
    """The wake-up descriptor tells; the handler only keeps Python's default from acting."""


def _nobody(url: str) -> None:
    """Waits for no worker to be registered."""
