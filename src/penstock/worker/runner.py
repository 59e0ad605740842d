"""Running one lease: resolve, decode, call, decide. Knows nothing of pools, brokers or processes."""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, cast

import msgspec

from penstock.batching.rows import RunningRow, scatter
from penstock.batching.sharing import Sharing, Writer
from penstock.core import canary
from penstock.core.bundle import Bundle, bundle
from penstock.core.codec import Signature, decode_value, encode_value
from penstock.core.decide import JobOptions, Policy, cancelled, dead, failed, succeeded
from penstock.core.job import Failure, Lease
from penstock.core.joining import Joining
from penstock.core.outcome import Ending, Outcome
from penstock.core.packed import Packed
from penstock.core.tracebacks import format_traceback
from penstock.errors import PayloadError
from penstock.worker.bundles import Bundles, value_of
from penstock.worker.context import current_lease, current_row
from penstock.worker.expiry import refusal
from penstock.worker.growing import added, forget, grown

if TYPE_CHECKING:
    from penstock.worker.limits import Limit, Limits
    from penstock.worker.loops import Guide

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

    @property
    def sharing(self) -> Sharing | None:
        """How its jobs share calls; None where each has a call of its own."""

    @property
    def is_plain(self) -> bool:
        """Is it called with the arguments of one job, and does not await anything?"""


class Runner:
    """Runs leases of the tasks it is given.

    Parameters:
        tasks: by name.
    """

    def __init__(self, tasks: Mapping[str, Runnable]) -> None:
        self._tasks = tasks
        #: How writers end jobs in a transaction of their own; whoever has a broker sets it.
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
        self._bundles = Bundles(self._call_with, lambda: self.judged, self._returned, self._raised)
        #: The leases that are to end as cancelled, by the ids of their jobs.
        self.cancelled: set[bytes] = set()

    def run(self, lease: Lease, slot: int = 0) -> Outcome:
        """Run a lease to its outcome. Raises only what is meant for the process, such as KeyboardInterrupt."""
        task = self._tasks.get(lease.task)
        if task is None or lease.packed or lease.crashes or lease.options is not None or not task.is_plain:
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
            outcome = succeeded(lease, policy) if value is None else _kept(task, policy, lease, value)
            return grown(outcome) if added else outcome
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
        if task is not None and (refused := refusal(lease)) is not None:
            return refused
        policy = self.policy(lease)
        if task is None or policy is None:
            return Outcome(lease, Ending.DONE if lease.task == canary.TASK else Ending.PARKED)
        if task.sharing is not None and not lease.packed:
            # Whoever takes jobs one by one, a test say, has not put it into a bundle.
            return (await self.run_async(bundle([lease]), slot)).parts[0]
        # A packed row that crashed is taken apart; its items count crashes of their own. In a bundle each has its own end.
        whole = not lease.packed or (task.sharing is not None and task.sharing.writer is not None)
        if lease.crashes >= policy.crash_limit and whole and not isinstance(lease, Bundle):
            failure = Failure("Crashed", f"the process that ran it died, {lease.crashes} times over")
            return dead(lease, failure, crashes=0)
        limit = None
        if self.limits is not None and (policy.timeout is not None or policy.memory is not None):
            limit = self.limits.enter(slot, lease, policy)
        token = current_lease.set(lease)
        try:
            if isinstance(lease, Bundle) and task.sharing is not None:
                restart = _nothing if limit is None else limit.restart
                return await self._bundles.run(task.sharing, task.signature, lease, policy, self.joining, restart)
            if lease.packed:
                return await self._run_packed(task, policy, lease, limit)
            return await self._run_single(task, policy, lease)
        except PayloadError as error:
            return dead(lease, Failure("PayloadError", str(error)))
        except self.judged as error:
            # Each lease of a bundle has an ending of its own, whatever goes wrong.
            if isinstance(lease, Bundle):
                return self._bundles.failed(lease, error)
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
        if isinstance(lease, Bundle):
            return self._bundles.failed(lease, error)
        row = self._rows.get(lease.id)
        policy = self.policy(lease) or Policy()
        if row is None:
            return self._failed(policy, lease, error)
        row.cut = True
        return row.without_present(error)

    def shares_calls(self, task: str) -> bool:
        """Is it a batch task's name?"""
        known = self._tasks.get(task)
        return known is not None and known.sharing is not None

    @cached_property
    def shared(self) -> dict[str, Sharing]:
        """How jobs share calls, by the names of their tasks; those that are known at the first look."""
        return {name: task.sharing for name, task in self._tasks.items() if task.sharing is not None}

    @cached_property
    def writers(self) -> dict[str, Writer]:
        """The tasks whose jobs are ended by who writes them, by name."""
        return {name: sharing.writer for name, sharing in self.shared.items() if sharing.writer is not None}

    def settled(self, outcomes: Sequence[Outcome]) -> None:
        """Tell the writers which of their jobs have ended, and the store knows."""
        ended: dict[str, list[bytes]] = {}
        for outcome in outcomes:
            if outcome.ending in (Ending.DONE, Ending.DEAD, Ending.CANCELLED):
                ended.setdefault(outcome.lease.task, []).append(outcome.lease.id)
        for task, ids in ended.items():
            if task in self.writers:
                self.writers[task].settled(ids)

    def close(self) -> None:
        """Let go of what the tasks' writers hold, and of the calling thread's event loop."""
        for writer in self.writers.values():
            writer.close()
        if self._has_loops:
            from penstock.worker import loops

            loops.close()

    def _failed(self, policy: Policy, lease: Lease, error: BaseException, text: str | None = None) -> Outcome:
        forget(lease)
        if lease.id in self.cancelled:
            return cancelled(lease)
        return failed(lease, policy, error, format_traceback(error) if text is None else text, random.random())

    def _raised(self, lease: Lease, error: BaseException, text: str) -> Outcome:
        """As `_failed`, for one of those that share a call."""
        try:
            policy = self.policy(lease) or Policy()
        except PayloadError as wrong:
            return dead(lease, Failure("PayloadError", f"options: {wrong}"))
        return self._failed(policy, lease, error, text)

    def _returned(self, lease: Lease, value: Any) -> Outcome:
        """The outcome of a job whose shared call went well."""
        task = self._tasks[lease.task]
        try:
            policy = self.policy(lease) or Policy()
            return succeeded(lease, policy) if value is None else _kept(task, policy, lease, value)
        except PayloadError as error:
            return dead(lease, Failure("PayloadError", str(error)))

    async def _call_with(self, lease: Lease, items: list[Any]) -> Any:
        """Call the function of a batch task."""
        task = self._tasks[lease.task]
        assert task.sharing is not None
        handler = task.sharing.handler
        arguments = handler.struct(items)
        if task.is_async:
            return await self._await(handler, lease, arguments)
        return self._call(handler, arguments)

    async def _run_single(self, task: Runnable, policy: Policy, lease: Lease) -> Outcome:
        arguments = task.signature.decode(lease.payload)
        try:
            value = (
                await self._await(task.signature, lease, arguments)
                if task.is_async
                else self._call(task.signature, arguments)
            )
        except self.judged as error:
            return self._failed(policy, lease, error)
        return grown(succeeded(lease, policy) if value is None else _kept(task, policy, lease, value))

    def _call(self, signature: Signature, arguments: Any) -> Any:
        if self.call is None:
            return signature.call(arguments)
        return self.call(signature.call, arguments)

    async def _await(self, signature: Signature, lease: Lease, arguments: Any) -> Any:
        if self._guide is None:
            from penstock.worker.loops import Guide

            self._guide = Guide
        guide = self._guides[lease.id] = self._guide(signature.call(arguments))
        try:
            return await guide.run()
        finally:
            del self._guides[lease.id]

    async def _run_packed(self, task: Runnable, policy: Policy, lease: Lease, limit: Limit | None) -> Outcome:
        sharing = task.sharing
        if sharing is not None and sharing.writer is not None:
            return sharing.writer.row(lease, policy, self.joining)
        packed = self._decode_packed(task, lease.payload)
        if lease.crashes:
            return scatter(task, lease, packed)
        row = self._rows[lease.id] = RunningRow(task, policy, lease, packed)
        token = current_row.set(row)
        try:
            if sharing is not None:
                restart = _nothing if limit is None else limit.restart
                items = [_item(task, each) for each in packed.items]
                return await self._bundles.run_row(sharing, row, lease, items, restart)
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
                    await self._await(task.signature, lease, arguments)
                else:
                    self._call(task.signature, arguments)
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


def _item(task: Runnable, item: Any) -> Any:
    """An item of a batch task's packed row, or the error of decoding it."""
    try:
        return value_of(task.signature.decode(bytes(item)) if type(item) is msgspec.Raw else item)
    except PayloadError as error:
        return error


def _nothing() -> None:
    """A call without limits begins."""


def _driven(running: Coroutine[Any, Any, Outcome]) -> Outcome:
    """What a coroutine returns that awaits nothing."""
    try:
        running.send(None)
    except StopIteration as stop:
        outcome: Outcome = stop.value
        return outcome
    raise RuntimeError("a task that is not async awaited something")
