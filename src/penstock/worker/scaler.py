"""Has the lanes of a worker follow their queues: larger when work waits, smaller when slots are spare."""

from __future__ import annotations

import math
import os
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from penstock.brokers import connect
from penstock.brokers.base import Broker
from penstock.core.extent import Extent
from penstock.core.scale import Look, Scale
from penstock.errors import StoreError
from penstock.events.emit import Emitter, LaneResized
from penstock.worker.crew import LaneState
from penstock.worker.memory import proportional
from penstock.worker.tree import descendants

#: Seconds between two looks.
_EVERY = 0.25
#: Seconds between two looks at the memory while nothing runs; each takes some milliseconds.
_CALM = 2.0
_LONGEST_PAUSE = 5.0


class Resizable(Protocol):
    """What has lanes: a supervisor."""

    def lanes(self) -> list[LaneState]:
        """How each lane stands."""

    def resize(self, lane: int, processes: int, slots: int | None = None, why: str = "") -> None:
        """Have so many processes in a lane, and use so many slots of each."""


class Scaler:
    """Looks at the queues in a thread and on a connection of its own: a store that hangs holds up nothing else.

    Parameters:
        worker: whose lanes.
        extents: of the lanes that change, by their number.
        budget: bytes of memory that the worker may have, with all that it has started; None for as many as it takes.
        measure: the bytes that processes have, with all that they have started.
    """

    def __init__(
        self,
        worker: Resizable,
        extents: Mapping[int, Extent],
        emitter: Emitter,
        *,
        budget: int | None = None,
        measure: Callable[[Sequence[int]], int] | None = None,
    ) -> None:
        self._worker = worker
        self._extents = dict(extents)
        self._emitter = emitter
        self._budget = budget
        self._measure = measure or _proportional
        self._scales = {lane: Scale(extent) for lane, extent in extents.items()}
        # What a lane was told, which may lie between the sizes that its processes can make.
        self._sizes = {lane: extent.least or extent.most for lane, extent in extents.items()}
        self._shares = [0] * len(worker.lanes())
        self._own = 0
        self._measured_at = -math.inf
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        for lane, extent in self._extents.items():
            worker.resize(lane, *extent.spread(self._sizes[lane]), "as it started")

    def start(self, url: str) -> None:
        """Begin to look, into the queues of a broker."""
        self._thread = threading.Thread(target=self._run, args=(url,), name="penstock-scaler", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(1.0)  # it may wait for a store that hangs, and holds nothing

    def _run(self, url: str) -> None:
        pause = 0.0
        while not self._stopped.is_set():
            broker = connect(url)
            try:
                broker.open()
                while not self._stopped.wait(_EVERY):
                    self._look(broker)
                    pause = 0.0
            except StoreError:
                # The upkeep has the same trouble, and tells of it.
                pause = min(_LONGEST_PAUSE, max(_EVERY, pause * 2))
                self._stopped.wait(pause * random.uniform(0.5, 1.0))
            finally:
                broker.close()

    def _look(self, broker: Broker) -> None:
        """Look at each lane once."""
        states = self._worker.lanes()
        shares, memory = self._memory(states)
        for lane, extent in self._extents.items():
            state = states[lane]
            if not state.queues:
                continue  # nothing has come up, so nothing is known of it
            backlog = broker.backlog(state.queues)
            size = self._size(lane, state)
            one_slot = state.lane.slots == 1
            look = Look(
                time.monotonic(),
                size,
                state.booted * state.slots,
                # Between two short jobs a process has none on its board.
                state.booted - state.resting if one_slot else state.busy,
                backlog.ready,
                backlog.waited,
                memory,
                shares[lane],
                len(state.pids) * state.slots,
                self._coming(lane, states, shares),
                self._budget,
            )
            decision = self._scales[lane].decide(look)
            self._sizes[lane] = decision.size
            if decision.size != size:
                self._resize(lane, state, extent, decision.size, decision.why)

    def _memory(self, states: Sequence[LaneState]) -> tuple[list[int], int]:
        """The bytes of each lane, and of all with this process; old figures will do while nothing runs."""
        if self._budget is not None:
            now = time.monotonic()
            if now >= self._measured_at + _CALM or any(state.busy for state in states):
                self._measured_at = now
                self._shares = [self._measure(state.pids) for state in states]
                self._own = proportional([os.getpid()])
        return self._shares, sum(self._shares) + self._own

    def _coming(self, lane: int, states: Sequence[LaneState], shares: Sequence[int]) -> float:
        """Bytes that the other lanes that change will have beyond what they have."""
        others = (other for other in self._extents if other != lane)
        return sum(self._scales[other].coming(self._size(other, states[other]), shares[other]) for other in others)

    def _size(self, lane: int, state: LaneState) -> int:
        """Slots in all; fewer than were asked for at the end of a burst."""
        return min(self._sizes[lane], state.processes * state.slots)

    def _resize(self, lane: int, state: LaneState, extent: Extent, size: int, why: str) -> None:
        processes, slots = extent.spread(size)
        self._worker.resize(lane, processes, slots, why)
        self._emitter.emit(LaneResized(state.queues, processes, slots, why))


def _proportional(pids: Sequence[int]) -> int:
    return proportional(each for pid in pids for each in (pid, *descendants(pid)))
