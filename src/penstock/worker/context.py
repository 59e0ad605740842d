"""What a running task can learn about its own job."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, get_type_hints, overload

from penstock.core.bundle import Bundle
from penstock.core.codec import decode_value, encode_value
from penstock.core.decide import JobOptions
from penstock.core.ids import format_id
from penstock.core.job import Lease
from penstock.core.memo import CHECKPOINT, LARGEST, PROGRESS, Memo, Progress, memo_id, step_name, subject, too_large
from penstock.errors import PayloadError
from penstock.worker.growing import CurrentWorkflow

if TYPE_CHECKING:
    from penstock.worker.scribe import Scribe

P = ParamSpec("P")
R = TypeVar("R")
#: Of a note on progress, characters at most.
_LONGEST_NOTE = 500
#: Stands for no state: None is one.
_READ: Any = object()


class Row(Protocol):
    """Where a packed row stands."""

    @property
    def item(self) -> int:
        """The number of the item that runs."""


current_lease: ContextVar[Lease | None] = ContextVar("current_lease", default=None)
current_row: ContextVar[Row | None] = ContextVar("current_row", default=None)

#: Where a job's progress is noted; set once in a worker process, and empty elsewhere.
_note: list[Callable[[bytes, float, float], None]] = []


def note_progress(note: Callable[[bytes, float, float], None]) -> None:
    """Have progress noted by a function of job id, done and total."""
    _note[:] = [note]


#: Keeps what the jobs of this process note; nobody does in an app's inline mode.
_scribe: list[Scribe] = []


@contextmanager
def written_by(scribe: Scribe) -> Iterator[None]:
    """Have what jobs note kept by a scribe, while the context is open."""
    before = _scribe[:]
    _scribe[:] = [scribe]
    try:
        yield
    finally:
        _scribe[:] = before


class CurrentJob:
    """The job that is running; made by `current_job()`."""

    __slots__ = ("_lease", "item")

    def __init__(self, lease: Lease, item: int | None) -> None:
        self._lease = lease
        #: The number of the item in its batch, for jobs that came from `.map` or `penstock load`.
        self.item = item

    @property
    def id(self) -> str:
        """The job's id, a UUID as text."""
        return format_id(self._lease.id)

    @property
    def task(self) -> str:
        """The task's name."""
        return self._lease.task

    @property
    def queue(self) -> str:
        """The queue the job came from."""
        return self._lease.queue

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1; attempts that were interrupted do not count."""
        return self._lease.attempt + 1

    @property
    def due(self) -> datetime | None:
        """When the run of a schedule that this job is was due, in UTC; None for other jobs. A late run is still that of its time."""
        options = None if self._lease.options is None else decode_value(self._lease.options, JobOptions)
        return None if options is None or options.due is None else datetime.fromtimestamp(options.due, UTC)

    @property
    def workflow(self) -> CurrentWorkflow:
        """The workflow that the job is of; `RuntimeError` where it is of none."""
        lease = self._lease
        if lease.batch is None or lease.packed or lease.item is not None:
            raise RuntimeError("this job is of no workflow: start it by task.s(...).delay(), or in a chain or group")
        return CurrentWorkflow(lease)

    def progress(self, done: float, total: float = 0.0, note: str = "") -> None:
        """Say how far the job is; `job.progress()`, `penstock status` and `penstock show` tell it. As cheap as may be called often: it is written
        twice a second at most, and the last one stands.

        Parameters:
            done, total: in any unit, as long as it is the same; without a total, `done` alone is told.
            note: what it does just now, in a few words.
        """
        if not (math.isfinite(done) and math.isfinite(total)):
            raise ValueError(f"progress() takes finite numbers, not {done!r} of {total!r}")
        for tell in _note:
            tell(self._lease.id, done, total)
        # The items of a packed row are told by their batch's counters.
        if _scribe and not self._lease.packed:
            said = Progress(float(done), float(total), str(note)[:_LONGEST_NOTE], time.time())
            _scribe[0].progress(Memo(self._lease, memo_id(self._lease.id, PROGRESS), encode_value(said)))

    def checkpoint(self, state: Any = _READ, /) -> Any:
        """Keep a state for the next run of this job, after a retry, a crash or a deploy; or, without one, return what was kept last.

        What was kept is stored when this returns. It comes back as JSON's and msgpack's types (a tuple as a list, say), and as None where there is
        nothing. When the job has ended well it is deleted; of a dead letter it is kept for a week, for a retry.

        Raises:
            PayloadError: it can't be encoded, or has more than 1 MiB.
            LeaseLost: another worker runs the job.
        """
        if state is _READ:
            value = self._read(CHECKPOINT)
            return None if value is None else decode_value(value)
        self._keep(CHECKPOINT, "a checkpoint", state)
        return None

    @overload
    def step(
        self, name: str, function: Callable[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, R]: ...
    @overload
    def step(self, name: str, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...
    def step(self, name: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call a function, or await its call where it is `async def`, once for this job: a rerun returns what the call returned then.

        It is called again where the process dies between its end and the next moment, in which what it returned is stored.

        Parameters:
            name: of the step, by which a rerun knows it.

        Raises:
            PayloadError, LeaseLost: as `checkpoint`.
        """
        import inspect

        if inspect.iscoroutinefunction(function):
            return self._step_async(name, function, args, kwargs)
        value = self._read(step_name(name))
        if value is None:
            value = self._keep(step_name(name), f"what step {name!r} returned", function(*args, **kwargs))
        return decode_value(value, _returned(function))

    async def _step_async(
        self, name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        import asyncio  # as in gathering.py

        value = await asyncio.to_thread(self._read, step_name(name))
        if value is None:
            returned = await function(*args, **kwargs)
            value = await asyncio.to_thread(self._keep, step_name(name), f"what step {name!r} returned", returned)
        return decode_value(value, _returned(function))

    def _read(self, name: str) -> bytes | None:
        id = self._memo(name)
        return _scribe[0].read(self._lease, id) if _scribe else None

    def _keep(self, name: str, what: str, value: Any) -> bytes:
        """Keep a value; returns it encoded."""
        try:
            encoded = encode_value(value)
        except TypeError as error:
            raise PayloadError(f"{self._lease.task}: {what} can't be kept: {error}") from None
        if len(encoded) > LARGEST:
            raise PayloadError(too_large(self._lease, what, len(encoded)))
        memo = Memo(self._lease, self._memo(name), encoded)
        if _scribe:
            _scribe[0].keep(memo)
        return encoded

    def _memo(self, name: str) -> bytes:
        if isinstance(self._lease, Bundle):
            raise TypeError(
                "a batch task has no checkpoints or steps: its jobs share a call, and are retried one by one"
            )
        return memo_id(subject(self._lease, self.item), name)


def _returned(function: Callable[..., Any]) -> Any:
    """The type that a function says it returns."""
    try:
        hint = get_type_hints(function).get("return", Any)
    except (NameError, TypeError):
        return Any
    return Any if hint is None else hint


def current_job() -> CurrentJob:
    """The job that the calling task runs for; `RuntimeError` outside of one."""
    lease = current_lease.get()
    if lease is None:
        raise RuntimeError("current_job() works inside a task that a worker runs")
    row = current_row.get() if lease.packed else None
    return CurrentJob(lease, lease.item if row is None else row.item)
