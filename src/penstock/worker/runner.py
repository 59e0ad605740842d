"""Running one lease: resolve, decode, call, decide. Knows nothing of pools, brokers or processes."""

from __future__ import annotations

import os
import random
import traceback
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, cast

import msgspec

from penstock.core import canary
from penstock.core.codec import Signature, decode_value, encode_value
from penstock.core.decide import JobOptions, Policy, cancelled, dead, failed, succeeded
from penstock.core.job import Failure, Lease
from penstock.core.outcome import Ending, Outcome
from penstock.core.packed import Packed
from penstock.core.text import storable
from penstock.errors import PayloadError
from penstock.worker.context import current_lease, current_row
from penstock.worker.rows import RunningRow, scatter

if TYPE_CHECKING:
    from penstock.worker.limits import Limit, Limits
    from penstock.worker.loops import Guide

_TRACEBACK_LIMIT = 20_000
#: The parts of Penstock that a call of the user's code goes through, by their folders and files.
_OWN_CODE = (
    os.path.dirname(__file__),
    os.path.join(os.path.dirname(os.path.dirname(__file__)), "pools"),
    Signature.call.__code__.co_filename,
)

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
        #: What a task may raise and be judged for. Anything else, a KeyboardInterrupt say, ends the process.
        self.judged: tuple[type[BaseException], ...] = (Exception, SystemExit)
        #: Calls the user's code, where it is more than a call; see `Pool.call`.
        self.call: Callable[[Callable[[Any], Any], Any], Any] | None = None
        #: Sees to the limits of those jobs that have any; whoever has somebody to see to them sets it.
        self.limits: Limits | None = None
        self._has_loops = False
        self._guide: type[Guide] | None = None
        self._guides: dict[bytes, Guide] = {}
        self._packed: dict[str, msgspec.msgpack.Decoder[Any]] = {}
        self._rows: dict[bytes, RunningRow] = {}
        #: The leases that are to end as cancelled, by the ids of their jobs.
        self.cancelled: set[bytes] = set()

    def run(self, lease: Lease, slot: int = 0) -> Outcome:
        """Run a lease to its outcome. Raises only what is meant for the process, such as KeyboardInterrupt."""
        task = self._tasks.get(lease.task)
        if task is None or lease.packed or lease.crashes or lease.options is not None or task.is_async:
            return self._run_special(task, lease, slot)
        policy = task.policy
        if policy.timeout is not None or policy.memory is not None:
            return self._run_special(task, lease, slot)
        # As `run_async` does, for the most frequent case: what is left out here took as long again.
        token = current_lease.set(lease)
        try:
            arguments = task.signature.decode(lease.payload)
            call = self.call
            try:
                value = task.signature.call(arguments) if call is None else call(task.signature.call, arguments)
            except self.judged as error:
                return self._failed(policy, lease, error)
            return succeeded(lease, policy) if value is None else _kept(task, policy, lease, value)
        except PayloadError as error:
            return dead(lease, Failure("PayloadError", str(error)))
        except self.judged as error:
            return self._failed(policy, lease, error)
        finally:
            current_lease.reset(token)

    def _run_special(self, task: Runnable | None, lease: Lease, slot: int) -> Outcome:
        running = self.run_async(lease, slot)
        if task is None or not task.is_async:
            return _driven(running)
        from penstock.worker import loops

        self._has_loops = True
        outcome: Outcome = loops.run(running)
        return outcome

    def is_async(self, lease: Lease) -> bool:
        """Has a lease something to await? Then `run_async` runs it in the loop that is there."""
        task = self._tasks.get(lease.task)
        return task is not None and task.is_async

    async def run_async(self, lease: Lease, slot: int = 0) -> Outcome:
        """As `run`, in an event loop; awaits nothing for a task that is not async."""
        task = self._tasks.get(lease.task)
        try:
            policy = self.policy(lease)
        except PayloadError as error:
            return dead(lease, Failure("PayloadError", f"options: {error}"))
        if task is None or policy is None:
            return Outcome(lease, Ending.DONE if lease.task == canary.TASK else Ending.PARKED)
        # A packed row that crashed is taken apart; its items count crashes of their own.
        if lease.crashes >= policy.crash_limit and (not lease.packed or lease.task in self._row_handlers):
            return dead(lease, Failure("Crashed", f"the process that ran it died, {lease.crashes} times over"))
        limit = None
        if self.limits is not None and (policy.timeout is not None or policy.memory is not None):
            limit = self.limits.enter(slot, lease, policy)
        token = current_lease.set(lease)
        try:
            if lease.packed:
                return await self._run_packed(task, policy, lease, limit)
            return await self._run_single(task, policy, lease)
        except PayloadError as error:
            return dead(lease, Failure("PayloadError", str(error)))
        except self.judged as error:
            return self._failed(policy, lease, error)
        finally:
            current_lease.reset(token)
            if limit is not None and self.limits is not None:
                self.limits.leave(lease)

    def policy(self, lease: Lease) -> Policy | None:
        """How a lease that runs here is to end; None for a task that is not known here."""
        task = self._tasks.get(lease.task)
        if task is None or lease.options is None:
            return None if task is None else task.policy
        options: JobOptions = decode_value(lease.options, JobOptions)
        return options.applied_to(task.policy)

    def cut(self, lease: Lease) -> None:
        """End a packed row that is running after its present item. Safe from any thread."""
        row = self._rows.get(lease.id)
        if row is not None:
            row.cut = True

    def cancel(self, lease: Lease) -> None:
        """Have whatever a lease that runs raises from now on end as cancelled. Safe from any thread."""
        self.cancelled.add(lease.id)
        row = self._rows.get(lease.id)
        if row is not None:
            row.cancelled = row.cut = True

    def forget(self, lease: Lease) -> None:
        """A lease that was cancelled has ended."""
        self.cancelled.discard(lease.id)

    def interrupt(self, lease: Lease, error: BaseException, claim: Callable[[], bool]) -> bool:
        """Raise an error in a coroutine that a lease awaits; False where it awaits none. See `Pool.interrupt`."""
        guide = self._guides.get(lease.id)
        if guide is None:
            return False
        guide.interrupt(error, claim)
        return True

    def condemned(self, lease: Lease, error: BaseException) -> Outcome:
        """What becomes of a lease that should have ended and goes on: it failed, or was cancelled."""
        row = self._rows.get(lease.id)
        policy = self.policy(lease) or Policy()
        if row is None:
            return self._failed(policy, lease, error)
        row.cut = True
        return row.without_present(error)

    def close(self) -> None:
        """Let go of the calling thread's event loop."""
        if self._has_loops:
            from penstock.worker import loops

            loops.close()

    def _failed(self, policy: Policy, lease: Lease, error: BaseException) -> Outcome:
        if lease.id in self.cancelled:
            return cancelled(lease)
        return failed(lease, policy, error, format_traceback(error), random.random())

    async def _run_single(self, task: Runnable, policy: Policy, lease: Lease) -> Outcome:
        arguments = task.signature.decode(lease.payload)
        try:
            value = await self._await(task, lease, arguments) if task.is_async else self._call(task, arguments)
        except self.judged as error:
            return self._failed(policy, lease, error)
        return succeeded(lease, policy) if value is None else _kept(task, policy, lease, value)

    def _call(self, task: Runnable, arguments: Any) -> Any:
        if self.call is None:
            return task.signature.call(arguments)
        return self.call(task.signature.call, arguments)

    async def _await(self, task: Runnable, lease: Lease, arguments: Any) -> Any:
        if self._guide is None:
            from penstock.worker.loops import Guide

            self._guide = Guide
        guide = self._guides[lease.id] = self._guide(task.signature.call(arguments))
        try:
            return await guide.run()
        finally:
            del self._guides[lease.id]

    async def _run_packed(self, task: Runnable, policy: Policy, lease: Lease, limit: Limit | None) -> Outcome:
        handler = self._row_handlers.get(lease.task)
        if handler is not None:
            return handler(lease, self.joining)
        packed = self._decode_packed(task, lease.payload)
        if lease.crashes:
            return scatter(task, lease, packed)
        row = self._rows[lease.id] = RunningRow(task, policy, lease, packed)
        token = current_row.set(row)
        try:
            return await self._run_items(task, lease, row, limit)
        finally:
            current_row.reset(token)
            del self._rows[lease.id]

    async def _run_items(self, task: Runnable, lease: Lease, row: RunningRow, limit: Limit | None) -> Outcome:
        decode, is_async = task.signature.decode, task.is_async
        for index, item in enumerate(row.packed.items):
            # A row that is cut as soon as it runs runs one item all the same: it would be cut for ever.
            if row.cut and (index or row.cancelled):
                return row.until(index)
            row.index = index
            if limit is not None:
                limit.restart()
            try:
                arguments = decode(bytes(item)) if type(item) is msgspec.Raw else item
                if is_async:
                    await self._await(task, lease, arguments)
                else:
                    self._call(task, arguments)
                row.done()
            except self.judged as error:
                if row.cancelled:
                    return row.until(index)
                row.leave(error, format_traceback(error))
        return row.whole()

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


def _kept(task: Runnable, policy: Policy, lease: Lease, value: Any) -> Outcome:
    """The outcome of a job that returned something."""
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


def _driven(running: Coroutine[Any, Any, Outcome]) -> Outcome:
    """What a coroutine returns that awaits nothing."""
    try:
        running.send(None)
    except StopIteration as stop:
        outcome: Outcome = stop.value
        return outcome
    raise RuntimeError("a task that is not async awaited something")


def format_traceback(error: BaseException) -> str:
    """The traceback as text, from the task's own frame on."""
    inner = error.__traceback__
    while inner is not None and inner.tb_frame.f_code.co_filename.startswith(_OWN_CODE):
        inner = inner.tb_next
    text = storable("".join(traceback.format_exception(type(error), error, inner or error.__traceback__)))
    return (
        text
        if len(text) <= _TRACEBACK_LIMIT
        else f"{text[: _TRACEBACK_LIMIT // 2]}\n...\n{text[-_TRACEBACK_LIMIT // 2 :]}"
    )
