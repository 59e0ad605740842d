"""Running one lease: resolve, decode, call, decide. Knows nothing of pools, brokers or processes."""

from __future__ import annotations

import asyncio
import random
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast

import msgspec

from penstock.client import new_ids
from penstock.core.codec import Signature, decode_value, encode_value
from penstock.core.decide import JobOptions, Policy, dead, failed, succeeded
from penstock.core.job import Failure, Lease, NewJob
from penstock.core.outcome import Ending, Outcome, Step
from penstock.core.packed import Packed, repack
from penstock.errors import PayloadError
from penstock.worker.context import current_lease

#: What a task may raise and be judged for. Anything else, a KeyboardInterrupt say, ends the process.
_TRACEBACK_LIMIT = 20_000


class Runnable(Protocol):
    """What the registry knows of a task."""

    @property
    def name(self) -> str: ...
    @property
    def signature(self) -> Signature: ...
    @property
    def policy(self) -> Policy: ...
    @property
    def is_async(self) -> bool: ...


#: Ends a whole packed row by itself; a task of `penstock load`, say.
RowHandler = Callable[[Lease], Outcome]


class Runner:
    """Runs leases of the tasks it is given.

    Parameters:
        tasks: by name.
        row_handlers: by task name, for tasks that take a packed row as a whole.
    """

    def __init__(self, tasks: Mapping[str, Runnable], row_handlers: Mapping[str, RowHandler] | None = None) -> None:
        self._tasks = tasks
        self._row_handlers = row_handlers or {}
        self._loops = threading.local()
        self._packed: dict[str, msgspec.msgpack.Decoder[Any]] = {}
        #: Set from another thread: end the packed row that is running after its present item.
        self.cut_short = False

    def run(self, lease: Lease) -> Outcome:
        """Run a lease to its outcome. Raises only what is meant for the process, such as KeyboardInterrupt."""
        task = self._tasks.get(lease.task)
        if task is None:
            return Outcome(lease, Ending.PARKED)
        policy = task.policy
        if lease.options is not None or lease.crashes:
            try:
                if lease.options is not None:
                    policy = decode_value(lease.options, JobOptions).applied_to(policy)
            except PayloadError as error:
                return dead(lease, Failure("PayloadError", f"options: {error}"))
            if lease.crashes >= policy.crash_limit:
                return dead(lease, Failure("Crashed", f"the process that ran it died, {lease.crashes} times over"))
        token = current_lease.set(lease)
        try:
            if lease.packed:
                return self._run_packed(task, policy, lease)
            arguments = task.signature.decode(lease.payload)
            value = self._call(task, arguments)
            return succeeded(lease, policy, None if value is None else encode_value(value))
        except PayloadError as error:
            return dead(lease, Failure("PayloadError", str(error)))
        except Exception as error:
            return failed(lease, policy, error, format_traceback(error), random.random())
        finally:
            current_lease.reset(token)

    def _call(self, task: Runnable, arguments: Any) -> Any:
        if not task.is_async:
            return task.signature.call(arguments)
        loop: asyncio.Runner | None = getattr(self._loops, "runner", None)
        if loop is None:
            loop = self._loops.runner = asyncio.Runner()
        return loop.run(task.signature.call(arguments))

    # --- packed rows

    def _run_packed(self, task: Runnable, policy: Policy, lease: Lease) -> Outcome:
        handler = self._row_handlers.get(lease.task)
        if handler is not None:
            return handler(lease)
        packed = self._decode_packed(task, lease.payload)
        if lease.crashes:
            # One of its items kills the process. Each alone, they show which.
            return self._scatter(task, lease, packed)
        self.cut_short = False
        gone: list[NewJob] = []
        steps = _Counts()
        for index, item in enumerate(packed.items):
            if self.cut_short:
                rest = packed.rest(index)
                return Outcome(
                    lease, Ending.RELEASED, payload=repack(rest), items=len(rest.items),
                    follow_ups=tuple(gone), steps=steps.of(lease.batch),
                )  # fmt: skip
            try:
                if type(item) is msgspec.Raw:
                    item = task.signature.decode(bytes(item))
                self._call(task, item)
                steps.done += 1
            except Exception as error:
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
        indexes = range(len(packed.items))
        return Outcome(lease, follow_ups=tuple(_single(task, lease, packed, index, new_ids(1)[0]) for index in indexes))

    def _leave(
        self,
        task: Runnable,
        policy: Policy,
        lease: Lease,
        packed: Packed[Any],
        index: int,
        error: Exception,
        gone: list[NewJob],
        counts: _Counts,
    ) -> None:
        """An item failed: it leaves the row as a job of its own, delayed or dead."""
        if isinstance(error, PayloadError):
            outcome = dead(lease, Failure("PayloadError", str(error)))
        else:
            outcome = failed(lease, policy, error, format_traceback(error), random.random())
        job = _single(task, lease, packed, index, new_ids(1)[0])
        if outcome.ending is Ending.DEAD:
            counts.failed += 1
            job = msgspec.structs.replace(job, dead=True, failure=outcome.failure, attempt=job.attempt + 1)
        else:
            retried = outcome.ending is Ending.RETRY
            counts.retried += retried
            job = msgspec.structs.replace(
                job, run_at=time.time() + outcome.delay, failure=outcome.failure, attempt=job.attempt + retried
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


def format_traceback(error: BaseException) -> str:
    """The traceback as text, from the task's own frame on."""
    inner = error.__traceback__
    while inner is not None and inner.tb_frame.f_code.co_filename in _OWN_FILES:
        inner = inner.tb_next
    text = "".join(traceback.format_exception(type(error), error, inner or error.__traceback__))
    return text if len(text) <= _TRACEBACK_LIMIT else f"{text[: _TRACEBACK_LIMIT // 2]}\n...\n{text[-_TRACEBACK_LIMIT // 2 :]}"


_OWN_FILES = frozenset({__file__, Signature.call.__code__.co_filename})
