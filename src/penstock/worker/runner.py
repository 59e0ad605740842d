"""Running one lease: resolve, decode, call, decide. Knows nothing of pools, brokers or processes."""

from __future__ import annotations

import os
import random
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, cast

import msgspec

from penstock.core.codec import Signature, decode_value, encode_value
from penstock.core.decide import JobOptions, Policy, dead, failed, succeeded
from penstock.core.ids import uuid7s
from penstock.core.job import Failure, Lease, NewJob
from penstock.core.outcome import Ending, Outcome, Step
from penstock.core.packed import Packed, repack
from penstock.core.text import storable
from penstock.errors import PayloadError
from penstock.worker.context import Row, current_lease, current_row

if TYPE_CHECKING:
    from penstock.worker.loops import Loops

#: What a task may raise and be judged for. Anything else, a KeyboardInterrupt say, ends the process.
_JUDGED = (Exception, SystemExit)
_TRACEBACK_LIMIT = 20_000


#: Bytes of a result, at most. A store that refuses one for its size would be asked again for ever, and so hold up its
#: process.
LARGEST_RESULT = 64 << 20


class Runnable(Protocol):
    """What the registry knows of a task."""

    @property
    def name(self) -> str:
        """By which jobs find it."""

    @property
    def signature(self) -> Signature:
        """How its arguments travel, and how it is called."""

    @property
    def policy(self) -> Policy:
        """How its jobs end."""

    @property
    def is_async(self) -> bool:
        """Is what the call returns to be awaited?"""


#: Has the broker ready for a transaction of somebody else's; see `Dispatcher.joining`.
Joining = Callable[[], AbstractContextManager[Callable[[Outcome, object], bool]]]
#: Ends a whole packed row by itself; a task of `penstock load`, say. Without a `Joining` it can join no transaction.
RowHandler = Callable[[Lease, Joining | None], Outcome]


class Runner:
    """Runs leases of the tasks it is given.

    Parameters:
        tasks: by name.
        row_handlers: by task name, for tasks that take a packed row as a whole.
    """

    def __init__(self, tasks: Mapping[str, Runnable], row_handlers: Mapping[str, RowHandler] | None = None) -> None:
        self._tasks = tasks
        self._row_handlers = row_handlers or {}
        #: How row handlers end a job in a transaction of their own; whoever has a broker sets it.
        self.joining: Joining | None = None
        self._loops: Loops | None = None
        self._packed: dict[str, msgspec.msgpack.Decoder[Any]] = {}
        self._cut: set[bytes] = set()

    def run(self, lease: Lease) -> Outcome:
        """Run a lease to its outcome. Raises only what is meant for the process, such as KeyboardInterrupt."""
        task = self._tasks.get(lease.task)
        if task is None:
            return Outcome(lease, Ending.PARKED)
        policy = task.policy
        if lease.options is not None:
            try:
                policy = decode_value(lease.options, JobOptions).applied_to(policy)
            except PayloadError as error:
                return dead(lease, Failure("PayloadError", f"options: {error}"))
        # A packed row that crashed is taken apart; its items count crashes of their own.
        if lease.crashes >= policy.crash_limit and (not lease.packed or lease.task in self._row_handlers):
            return dead(lease, Failure("Crashed", f"the process that ran it died, {lease.crashes} times over"))
        token = current_lease.set(lease)
        try:
            return self._run_packed(task, policy, lease) if lease.packed else self._run_single(task, policy, lease)
        except PayloadError as error:
            return dead(lease, Failure("PayloadError", str(error)))
        except _JUDGED as error:
            return failed(lease, policy, error, format_traceback(error), random.random())
        finally:
            current_lease.reset(token)

    def cut(self, lease: Lease) -> None:
        """End a packed row that is running after its present item; safe from any thread."""
        self._cut.add(lease.id)

    def close(self) -> None:
        """Let go of the calling thread's event loop."""
        if self._loops is not None:
            self._loops.close()

    def _run_single(self, task: Runnable, policy: Policy, lease: Lease) -> Outcome:
        arguments = task.signature.decode(lease.payload)
        try:
            value = self._call(task, arguments)
        except _JUDGED as error:
            return failed(lease, policy, error, format_traceback(error), random.random())
        if value is None:
            return succeeded(lease, policy)
        try:
            result = encode_value(value)
        except TypeError as error:
            # It did run: another run would only repeat what it did.
            raise PayloadError(f"{task.name}() returned what can't be kept: {error}") from None
        if len(result) > LARGEST_RESULT:
            raise PayloadError(
                f"{task.name}() returned {len(result):,} bytes, and results may have {LARGEST_RESULT:,}: "
                "store them elsewhere, and return where"
            )
        return succeeded(lease, policy, result)

    def _call(self, task: Runnable, arguments: Any) -> Any:
        if not task.is_async:
            return task.signature.call(arguments)
        if self._loops is None:
            from penstock.worker.loops import Loops

            self._loops = Loops()
        return self._loops.run(task.signature.call(arguments))

    def _run_packed(self, task: Runnable, policy: Policy, lease: Lease) -> Outcome:
        handler = self._row_handlers.get(lease.task)
        if handler is not None:
            return handler(lease, self.joining)
        packed = self._decode_packed(task, lease.payload)
        if lease.crashes:
            # One of its items kills the process. Each alone, they show which.
            return self._scatter(task, lease, packed)
        row = Row()
        token = current_row.set(row)
        self._cut.discard(lease.id)
        try:
            return self._run_items(task, policy, lease, packed, row)
        finally:
            current_row.reset(token)
            self._cut.discard(lease.id)

    def _run_items(self, task: Runnable, policy: Policy, lease: Lease, packed: Packed[Any], row: Row) -> Outcome:
        gone: list[NewJob] = []
        steps = _Counts()
        cut, id = self._cut, lease.id
        for index, item in enumerate(packed.items):
            if id in cut and index:
                rest = packed.rest(index)
                return Outcome(
                    lease, Ending.RELEASED, payload=repack(rest), items=len(rest.items),
                    follow_ups=tuple(gone), steps=steps.of(lease.batch),
                )  # fmt: skip
            row.item = packed.number(index)
            try:
                raw = type(item) is msgspec.Raw
                self._call(task, task.signature.decode(bytes(item)) if raw else item)
                steps.done += 1
            except _JUDGED as error:
                self._leave(task, policy, lease, packed, index, error, gone, steps)
        return Outcome(lease, follow_ups=tuple(gone), steps=steps.of(lease.batch))

    def _decode_packed(self, task: Runnable, payload: bytes) -> Packed[Any]:
        """Decode all items in one call or, where one of them is bad, leave each to be decoded by itself."""
        decoder = self._packed.get(task.name)
        if decoder is None:
            decoder = self._packed[task.name] = msgspec.msgpack.Decoder(cast(Any, Packed)[task.signature.struct])
        try:
            packed: Packed[Any] = decoder.decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, RecursionError, OverflowError):
            packed = decode_value(payload, Packed[msgspec.Raw])
        if packed.numbers is not None and len(packed.numbers) != len(packed.items):
            raise PayloadError("the items of a packed row and their numbers differ in length")
        return packed

    def _scatter(self, task: Runnable, lease: Lease, packed: Packed[Any]) -> Outcome:
        ids = enumerate(_new_ids(len(packed.items)))
        return Outcome(lease, follow_ups=tuple(_single(task, lease, packed, index, id) for index, id in ids))

    def _leave(
        self,
        task: Runnable,
        policy: Policy,
        lease: Lease,
        packed: Packed[Any],
        index: int,
        error: BaseException,
        gone: list[NewJob],
        counts: _Counts,
    ) -> None:
        """An item failed: it leaves the row as a job of its own, delayed or dead."""
        if isinstance(error, PayloadError):
            outcome = dead(lease, Failure("PayloadError", str(error)))
        else:
            outcome = failed(lease, policy, error, format_traceback(error), random.random())
        job = _single(task, lease, packed, index, _new_ids(1)[0])
        if outcome.ending is Ending.DEAD:
            counts.failed += 1
            job = msgspec.structs.replace(job, dead=True, failure=outcome.failure, attempt=job.attempt + 1)
        else:
            retried = outcome.ending is Ending.RETRY
            counts.retried += retried
            job = msgspec.structs.replace(
                job, delay=outcome.delay, failure=outcome.failure, attempt=job.attempt + retried
            )
        gone.append(job)


class _Counts:
    __slots__ = ("done", "failed", "retried")

    def __init__(self) -> None:
        self.done = self.failed = self.retried = 0

    def of(self, batch: bytes | None) -> tuple[Step, ...]:
        return () if batch is None else (Step(batch, self.done, self.failed, self.retried),)


def _single(task: Runnable, lease: Lease, packed: Packed[Any], index: int, id: bytes) -> NewJob:
    item = packed.items[index]
    return NewJob(
        id=id,
        task=lease.task,
        payload=bytes(item) if isinstance(item, msgspec.Raw) else task.signature.encode_bound(item),
        queue=lease.queue,
        priority=lease.priority,
        options=lease.options,
        batch=lease.batch,
        item=packed.number(index),
        at_most_once=lease.at_most_once,
        attempt=lease.attempt,
    )


def _new_ids(count: int) -> list[bytes]:
    return uuid7s(count, time.time_ns() // 1_000_000, os.urandom(10))


def format_traceback(error: BaseException) -> str:
    """The traceback as text, from the task's own frame on."""
    inner = error.__traceback__
    while inner is not None and inner.tb_frame.f_code.co_filename in _OWN_FILES:
        inner = inner.tb_next
    text = storable("".join(traceback.format_exception(type(error), error, inner or error.__traceback__)))
    return (
        text
        if len(text) <= _TRACEBACK_LIMIT
        else f"{text[: _TRACEBACK_LIMIT // 2]}\n...\n{text[-_TRACEBACK_LIMIT // 2 :]}"
    )


_OWN_FILES = frozenset({__file__, Signature.call.__code__.co_filename})
