"""Typed events, and the emitter that hands them to whoever listens."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from penstock.core.outcome import Outcome


class Event(msgspec.Struct, frozen=True):
    """The base of all events."""


class JobEnded(Event, frozen=True):
    """A job ran to an outcome in `seconds`; so did `alike` others of its call, whose errors are of the same kind."""

    outcome: Outcome
    seconds: float
    alike: int = 0


class BatchEnded(Event, frozen=True):
    """A call of a batch task or a sink has ended.

    Parameters:
        task: whose call it was.
        size: the jobs (or rows) that shared it.
        seconds: what it took: for a sink, what the database took.
        ok: False where it failed, or jobs in it did.
    """

    task: str
    size: int
    seconds: float
    ok: bool = True


class WorkerStarted(Event, frozen=True):
    """A worker's first process is up. `lanes` are in words: the pool and the size of each."""

    worker: str
    lanes: tuple[str, ...]
    queues: tuple[str, ...]
    url: str


class WorkerStopping(Event, frozen=True):
    """A worker was told to stop."""

    how: str


class WorkerStopped(Event, frozen=True):
    """A worker's last process is gone."""


class ProcessDied(Event, frozen=True):
    """A process ended that should not have; the jobs it ran then are in `crashed`.

    `words` are what it wrote before, where it did not come up or its interpreter crashed, and if they are news.
    """

    pid: int
    how: str
    crashed: tuple[bytes, ...]
    again_in: float
    words: str = ""


class ProcessRefused(Event, frozen=True):
    """The system has no room for another process; it is tried again in `again_in` seconds."""

    reason: str
    again_in: float


class ProcessKilled(Event, frozen=True):
    """A process was killed since jobs in it were over a limit: `excess` says which, and over what."""

    pid: int
    excess: dict[bytes, str]


class ProcessRecycled(Event, frozen=True):
    """A process was told to leave since it has more `memory` (bytes) than it may keep; another takes its place."""

    pid: int
    memory: int


class LaneResized(Event, frozen=True):
    """A lane has another size from now on."""

    queues: tuple[str, ...]
    processes: int
    slots: int
    why: str


class ProcessDeaf(Event, frozen=True):
    """A process was killed since it took no work though there was some, and ran nothing; another takes its place."""

    pid: int


class ListenerDeaf(Event, frozen=True):
    """What was enqueued was not heard by the worker that waited for it; it has connected to the store anew.

    `lasting` says that this did not help. It looks for work from time to time, as every worker does.
    """

    lasting: bool = False


class Rescued(Event, frozen=True):
    """Jobs of dead workers were given back."""

    jobs: int


class ScheduleTrouble(Event, frozen=True):
    """When a schedule runs next could not be worked out here; it is tried again in a minute, by whichever worker."""

    name: str
    reason: str


class StoreTrouble(Event, frozen=True):
    """The store refused; it is tried again."""

    reason: str


class StoreBack(Event, frozen=True):
    """The store answers again."""


class Emitter:
    """Hands events to listeners, in the thread that emits."""

    def __init__(self) -> None:
        self._listeners: list[tuple[type[Event], Callable[[Event], None]]] = []

    def subscribe(self, kind: type[Event], listener: Callable[[Event], None]) -> None:
        """Have `listener` called with events of a kind, or of any with `Event`."""
        self._listeners.append((kind, listener))

    def emit(self, event: Event) -> None:
        """Hand an event to its listeners."""
        for kind, listener in self._listeners:
            if isinstance(event, kind):
                listener(event)
