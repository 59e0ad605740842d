"""What others see of a worker: it is on the store's list, says how it is, and hears what it is asked for."""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from collections.abc import Callable

import msgspec

from penstock.brokers import load_broker
from penstock.brokers.base import Broker, WorkerInfo
from penstock.core.decide import Terms
from penstock.core.health import LaneVitals, Vitals, trouble
from penstock.core.masking import without_password
from penstock.events.emit import Emitter, WorkerStarted
from penstock.worker.crews import Crews
from penstock.worker.link import Hello
from penstock.worker.meters import Meters
from penstock.worker.pulse import Pulse
from penstock.worker.recorder import Recorder
from penstock.worker.upkeep import Upkeep

#: Seconds that the store has for the first heartbeat until processes take jobs without it.
_SETTLING = 30.0


class Presence:
    """Owns the upkeep, and speaks with its threads for the supervisor.

    Parameters:
        worker: its id.
        ring: has the supervisor take a step.
        hasty: see `Upkeep`.
    """

    def __init__(
        self, worker: str, crews: Crews, pulse: Pulse, ring: Callable[[], None], emitter: Emitter, *, hasty: bool
    ) -> None:
        self.worker = worker
        self._crews = crews
        self._pulse = pulse
        self._ring = ring
        self._hasty = hasty
        self._emitter = emitter
        self._terms: dict[str, Terms] = {}
        #: What the worker has counted.
        self.meters = Meters(crews, emitter)
        self._recorder: Recorder | None = None
        self._info = WorkerInfo(worker, socket.gethostname(), os.getpid(), "", 0, (), time.time())
        #: Where the store is; empty until a process has said so.
        self.url = ""
        #: None until then.
        self.upkeep: Upkeep | None = None
        self.stopping = False
        self._learned_at = 0.0
        self._settled = False
        #: Jobs to be cancelled: the process, the id, and the seconds that it has; for the supervisor to take.
        self.cancels: deque[tuple[int, bytes, float]] = deque()

    @property
    def silent_for(self) -> float | None:
        """Seconds since the store has answered; None when it never has."""
        return None if self.upkeep is None else self.upkeep.silent_for

    def learn(self, hello: Hello) -> bool:
        """A process has come up, and says what it knows; was it the first? Then it is known which store there is."""
        self._terms.update({**dict.fromkeys(hello.tasks, Terms()), **hello.terms})
        if self.upkeep is not None:
            return False
        lanes = [crew.lane for crew in self._crews]
        queues = tuple(dict.fromkeys([*hello.queues, *(name for lane in lanes for name in lane.queues or ())]))
        slots = sum(lane.most or lane.processes * lane.slots for lane in lanes)
        pool = "+".join(sorted({lane.pool for lane in lanes}))
        self._info = msgspec.structs.replace(self._info, pool=pool, slots=slots, queues=queues)
        self._recorder = Recorder(self.worker, queues, self.meters)
        self.url = hello.url
        self._learned_at = time.monotonic()
        # Now, so that the processes which are forked next need not load it each for itself.
        load_broker(hello.url)
        self.upkeep = Upkeep(hello.url, self, self._terms, self._emitter, hasty=self._hasty)
        return True

    def begin(self) -> None:
        """Beat, listen and look after the store from now on, in threads of its own."""
        if self.upkeep is not None:
            self.upkeep.start()

    @property
    def settled(self) -> bool:
        """May processes take jobs? The worker is on the list then, or the store has had its time."""
        return self._settled or (self.upkeep is not None and time.monotonic() - self._learned_at > _SETTLING)

    def settle(self) -> None:
        """In the upkeep's thread: the first heartbeat is stored, or has failed."""
        self._settled = True
        self._ring()

    def beaten(self, now: float, dead_after: float) -> None:
        """A heartbeat is stored. Safe from any thread."""
        self._crews.beat(now, dead_after)

    def announce(self) -> None:
        """The worker begins."""
        lanes = [crew.lane for crew in self._crews]
        shapes = tuple(lane.shape if len(lanes) == 1 else f"{lane.name}: {lane.shape}" for lane in lanes)
        self._emitter.emit(WorkerStarted(self.worker, shapes, self._info.queues, without_password(self.url)))

    def leave(self) -> None:
        """Go off the list, and give back what is still held."""
        self._crews.release()
        if self.upkeep is not None:
            self.upkeep.stop()

    def info(self) -> WorkerInfo:
        """What a heartbeat says. Safe from any thread."""
        return msgspec.structs.replace(
            self._info, jobs=self._crews.running(), lanes=self._crews.records(), trouble=self.trouble()
        )

    def trouble(self) -> str:
        """Why the worker does no work; nothing where it does. Safe from any thread."""
        states = self._crews.states()
        lanes = [
            LaneVitals(", ".join(state.queues) or state.lane.pool, state.processes, state.booted, state.failing)
            for state in states
        ]
        occupied = any(state.booted for state in states) and all(state.busy >= state.booted for state in states)
        stalled = self._pulse.stalled_for(time.monotonic())
        return trouble(Vitals(lanes, self.silent_for, self._pulse.proven, occupied, stalled, self.stopping))

    def record(self, broker: Broker, *, last: bool = False) -> None:
        """In the upkeep's thread: write what has been counted, where it is time."""
        if self._recorder is not None:
            self._recorder.round(broker, last=last)

    def heard_bell(self, *, sent: bool = False) -> None:
        """In the listening thread: hold it here while nobody is idle, so that rings cost a busy worker nothing.

        It wakes the process itself: the supervisor's thread would be one more that has to be waited for.
        """
        self._crews.wake_when_idle(sent=sent)

    def wait_for_idle(self, seconds: float) -> bool:
        """In the listening thread: wait until a process is idle, at most so long; is one?"""
        return self._crews.wait_for_idle(seconds)

    def made_ready(self, processes: int) -> None:
        """In the upkeep's thread: so many processes may begin together, which rings would have do so one after the other."""
        self._crews.wake_together(processes)

    def cancel(self, process: int, id: bytes, kill_after: float) -> None:
        """In the upkeep's thread: a job that runs is to be cancelled."""
        self.cancels.append((process, id, kill_after))
        self._ring()

    def wants_canary(self) -> bool:
        """In the upkeep's thread: is one to be enqueued?"""
        return self._pulse.wanted()

    def sent_canary(self) -> None:
        """In the upkeep's thread: it is enqueued."""
        self._pulse.sent()
        self._ring()
