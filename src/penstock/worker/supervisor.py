"""The supervisor: starts processes, wakes as many as there is work for, replaces the dead, and stops them in order.

It loads no user code, so nothing of the user's can hang it. What it needs to know of the app, each process says when
it has booted.
"""

from __future__ import annotations

import os
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec

from penstock.core.metrics import Point
from penstock.events.emit import (
    Emitter,
    ProcessDeaf,
    ProcessDied,
    ProcessKilled,
    ProcessRecycled,
    ProcessRefused,
    WorkerStopped,
    WorkerStopping,
)  # fmt: skip
from penstock.worker import link as message
from penstock.worker.child import Child
from penstock.worker.crew import LONGEST_PAUSE, Crew, LaneState
from penstock.worker.crews import Crews
from penstock.worker.lane import Lane
from penstock.worker.link import Hello
from penstock.worker.memory import peak, resident
from penstock.worker.obituary import death_of, words_of
from penstock.worker.presence import Presence
from penstock.worker.program import Program
from penstock.worker.pulse import Pulse
from penstock.worker.report import Report
from penstock.worker.signals import Signals
from penstock.worker.tree import collect_strangers
from penstock.worker.upkeep import Upkeep
from penstock.worker.watch import Watch

DEFAULT_GRACE = 25.0
_QUIT_SECONDS = 2.0
#: Seconds between two looks whether what a dead process held has gone back.
_JUDGING = 0.02
#: Seconds that a process may live on after it has closed its socket.
_DEAF_SECONDS = 1.0


class Supervisor:
    """Runs the processes of one worker.

    Parameters:
        program: what each process runs.
        lanes: what processes to run.
        grace: seconds that running jobs have after the first signal to stop.
        burst: each process ends when its queues are empty, and none is replaced that did.
        canaries: send a job through the store and back when none has ended for a while, to see that work moves.
    """

    def __init__(
        self,
        program: Program,
        lanes: Sequence[Lane],
        emitter: Emitter,
        *,
        grace: float = DEFAULT_GRACE,
        burst: bool = False,
        verbose: bool = False,
        canaries: bool = False,
    ) -> None:
        self.id = os.urandom(16).hex()  # not by `secrets`, which loads OpenSSL
        self._program = program
        self._crews = Crews(lanes)
        self._emitter = emitter
        self._grace = grace
        self._burst = burst
        self._verbose = verbose
        #: Called with the URL of the store when the first process may take jobs.
        self.registered: Callable[[str], None] = lambda url: None
        self._selector = selectors.DefaultSelector()
        self._bell, self._ringer = socket.socketpair()
        self._bell.setblocking(False)
        self._signals = Signals()
        self._watch = Watch()
        self._numbers = 0
        self._stepped_at = time.monotonic()
        self._pulse = Pulse(self._crews, active=canaries)
        self._presence = Presence(self.id, self._crews, self._pulse, self._ring, emitter, hasty=burst)
        self._stops: deque[str] = deque()
        self._deadline: float | None = None
        self._quitting = False
        self._begun = self._failed = False
        self._peak_of_the_gone = 0

    def run(self, each_round: Callable[[], None] | None = None, every: float = 1.0) -> int:
        """Run until stopped (or, in a burst, until all processes have ended); returns an exit status.

        Parameters:
            each_round: called in between, at least once in `every` seconds; may call `stop`.
        """
        self._selector.register(self._bell, selectors.EVENT_READ)
        self._selector.register(self._signals.end, selectors.EVENT_READ)
        with self._signals.taken():
            try:
                self._fill()
                while self._crews.children or (self._deadline is None and not self._is_through()):
                    self._step(every)
                    if each_round is not None:
                        each_round()
            finally:
                self._end()
        return 1 if self._failed else 0

    def stop(self, how: str = "asked to") -> None:
        """Stop: the first time running jobs may finish within the grace, the second time they are given back. Safe from any thread."""
        self._stops.append(how)
        self._ring()

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
        self._ring()

    def lanes(self) -> list[LaneState]:
        """How each lane stands. Safe from any thread."""
        return self._crews.states()

    @property
    def stopping(self) -> bool:
        """Was it told to stop, or could it not start?"""
        return self._deadline is not None or bool(self._stops)

    def peak_bytes(self) -> int:
        """The sum of the most memory that this process and each that runs has had."""
        alive = peak(os.getpid()) + sum(child.sample_peak() for child in self._crews.children)
        self._peak_of_the_gone = max(self._peak_of_the_gone, alive)
        return self._peak_of_the_gone

    def _is_through(self) -> bool:
        """Has every process of a burst found its queues empty? A lane that was made small may grow again."""
        return self._burst and not any(crew.wanted for crew in self._crews)

    def report(self) -> Report:
        """How this worker is. Safe from any thread."""
        idle_for = time.monotonic() - self._stepped_at
        return Report(self.id, self._presence.trouble(), len(self._crews.running()), self._crews.records(), idle_for)

    def figures(self) -> Point:
        """What this worker has counted since it started, and has now. Safe from any thread."""
        return self._presence.meters.now()

    @property
    def _upkeep(self) -> Upkeep | None:
        return self._presence.upkeep

    def _step(self, longest: float) -> None:
        self._stepped_at = time.monotonic()
        for key, _ in self._selector.select(self._next_deadline(longest)):
            if key.fileobj is self._bell:
                self._bell.recv(4096)
                self._crews.wake_one()
            elif key.fileobj is self._signals.end:
                for number in self._signals.read():
                    self._stop(f"got {number.name}")
            else:
                self._attend(key.data, said=key.fileobj is key.data.link)
        if self._upkeep is not None and self._upkeep.ended and not self.stopping:
            # Nobody says any more that this worker lives, so others will take its jobs.
            self._failed = True
            self._stop("the heartbeats have ended by the error above")
        while self._stops:
            self._stop(self._stops.popleft())
        while self._presence.cancels:
            self._cancel(*self._presence.cancels.popleft())
        self._see_to_limits()
        self._see_to_pulse()
        if os.getpid() == 1:
            collect_strangers(child.pid for child in self._crews.children)
        self._fill()
        if self._deadline is not None and time.monotonic() >= self._deadline:
            if self._quitting:
                for child in self._crews.children:
                    child.end()
            self._quit()

    def _next_deadline(self, longest: float) -> float:
        now = time.monotonic()
        times = [at for crew in self._crews if (at := crew.due(now)) is not None]
        times += [self._watch.due(self._crews.children), self._pulse.due()]
        if self._deadline is not None:
            times.append(self._deadline)
        if self._burst and self._upkeep is not None and self._upkeep.judging:
            times.append(now + _JUDGING)
        return max(0.0, min([longest, *(at - now for at in times)]))

    def _stop(self, how: str) -> None:
        if self._deadline is None:
            self._deadline = time.monotonic() + self._grace
            self._presence.stopping = True
            self._emitter.emit(WorkerStopping(f"{how}; running jobs have {self._grace:g} s"))
            for child in self._crews.children:
                self._dismiss(child)
        else:
            self._quit()

    def _quit(self) -> None:
        self._quitting = True
        self._deadline = time.monotonic() + _QUIT_SECONDS
        for child in self._crews.children:
            child.interrupted = True
            child.tell(message.QUIT)

    def _dismiss(self, child: Child) -> None:
        """Have a process finish what it runs, and leave."""
        child.leaving = True
        if child.going:
            child.tell(message.STOP)
        else:
            child.end()  # it holds nothing, and waits for the word to go

    def _fill(self) -> None:
        """Have those take jobs that have come up, tell those to leave that are too many, and start those that are lacking."""
        if self.stopping:
            return
        if self._upkeep is not None:
            if not self._presence.settled or (self._burst and self._upkeep.judging):
                return  # in a burst a process would find its queues empty, and not what goes back to them now
            if not self._begun:
                self._begun = True
                self._presence.announce()
                self.registered(self._presence.url)
            for crew in self._crews:
                for child in crew.staying:
                    child.go()
                    child.use(crew.slots)
                for child in crew.surplus():
                    self._dismiss(child)
        self._start_lacking()

    def _start_lacking(self) -> None:
        for crew in self._crews.lacking(time.monotonic(), one_first=self._upkeep is None):
            try:
                self._spawn(crew)
            except OSError as error:
                self._emitter.emit(ProcessRefused(str(error), crew.failed(time.monotonic())))
                break

    def _spawn(self, crew: Crew) -> None:
        self._numbers += 1
        child = Child(
            self._program, self.id, self._numbers, crew.index, crew.lane, crew.slots,
            burst=self._burst, verbose=self._verbose, patient=self._upkeep is not None,
        )  # fmt: skip
        self._crews.add(child)
        self._selector.register(child.link, selectors.EVENT_READ, child)
        if child.descriptor is not None:
            self._selector.register(child.descriptor, selectors.EVENT_READ, child)

    def _attend(self, child: Child, said: bool) -> None:
        """A process said something, closed its end, or is gone."""
        if not self._crews.has(child):
            return  # buried by the other of the two events
        heard = self._hear(child)
        if not said or (not heard and child.descriptor is None):
            self._bury(child)
        elif not heard:
            # It goes, or it has lost its socket and can't be told anything: either way it ends soon.
            self._selector.unregister(child.link)
            child.deaf_since = time.monotonic()

    def _hear(self, child: Child) -> bool:
        """Hear what a process has said; False when it has closed its end."""
        said = child.listen() if child.deaf_since is None else b""
        if said is None:
            return False
        child.shown_at = time.monotonic()
        if not child.booted:
            child.heard += said
            line, newline, said = child.heard.partition(b"\n")
            if not newline:
                return True
            self._welcome(child, msgspec.json.decode(line, type=Hello))
        for word in (said[index : index + 1] for index in range(len(said))):
            match word:
                case message.MORE:
                    child.idle = False
                    self._crews.wake_one()
                case message.BUSY:
                    child.idle = False
                case message.IDLE | message.STANDS:
                    child.idle, child.stands_by = not child.leaving, word == message.STANDS
                case message.LEAVING:
                    child.leaving, child.idle = True, False
                case message.LIMITED:
                    child.watch()
        if said:
            self._crews.show_idle()
        return True

    def _welcome(self, child: Child, hello: Hello) -> None:
        child.booted_at = time.monotonic()
        child.fresh_bytes = resident([child.pid])
        self._crews.of(child).came_up(hello.queues)
        if self._presence.learn(hello):
            if not self.stopping:
                self._start_lacking()  # before there is another thread: they can be forks
            self._presence.begin()

    def _bury(self, child: Child) -> None:
        """A process is gone: see what becomes of what it held, and start another unless it was to leave."""
        if child.deaf_since is None:
            self._selector.unregister(child.link)
        if child.descriptor is not None:
            self._selector.unregister(child.descriptor)
        ended = child.reap()
        death = death_of(child, ended)
        words = words_of(child)
        crew = self._crews.of(child)
        self._watch.forget(child)
        self._crews.remove(child)
        in_order = ended.status == 0 and not death.runs
        if self._upkeep is not None and not in_order:
            self._upkeep.bury(child.number, death)
        if child.excess:
            self._emitter.emit(ProcessKilled(child.pid, dict(child.excess)))
        if child.interrupted or (child.leaving and (in_order or child.excess)):
            return
        if self._burst and in_order:
            crew.wanted -= 1
            return
        if self._upkeep is None and (ended.status >= 0 or crew.pause >= LONGEST_PAUSE):
            # No process ever came up: what it wrote to standard error says why. One that was killed may have been so from outside.
            self._failed = True
            self._deadline = time.monotonic()
            return
        if not child.excess:
            pause = 0.0 if child.leaving else crew.lost(child, bool(death.runs), time.monotonic())
            crashed = tuple(run.id for run in death.runs)
            self._emitter.emit(ProcessDied(child.pid, str(ended), crashed, pause, crew.news(words)))

    def _see_to_limits(self) -> None:
        """Kill the processes whose jobs are over their limits, and have those leave that have grown too much."""
        for child, excess in self._watch.overdue(self._crews.children):
            child.excess = excess
            child.kill()
        for child in self._crews.children:
            if child.deaf_since is not None and time.monotonic() - child.deaf_since > _DEAF_SECONDS:
                child.kill()
        for child in self._watch.fat(self._crews.children):
            child.draining = True
            child.tell(message.DRAIN)
            self._emitter.emit(ProcessRecycled(child.pid, child.peak_bytes))

    def _see_to_pulse(self) -> None:
        """Send a canary where one is due, and replace the processes that do not react."""
        if self.stopping or self._upkeep is None:
            return
        for child in self._pulse.look(time.monotonic(), self._upkeep.silent_for):
            child.end()
            self._emitter.emit(ProcessDeaf(child.pid))
        if self._pulse.wanted():
            self._upkeep.nudge()

    def _cancel(self, process: int, id: bytes, kill_after: float) -> None:
        child = self._crews.child(process)
        if child is not None and child.booted and self._watch.cancel(child, id, kill_after):
            child.tell(message.CANCEL + id)

    def _ring(self) -> None:
        with suppress(OSError):  # stopped in the meantime
            self._ringer.send(b"!")

    def _end(self) -> None:
        for child in self._crews.children:
            child.leaving = True
            child.end()
            self._bury(child)
        self._presence.leave()
        if self._upkeep is not None:
            self._emitter.emit(WorkerStopped())
        self._selector.close()
        self._signals.close()
        for end in (self._bell, self._ringer):
            end.close()
