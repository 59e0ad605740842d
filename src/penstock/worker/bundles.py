"""Running what batch tasks are given: bundles of jobs, and packed rows, by calls that many of them share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from penstock.batching.call import Calls, Fate, fates
from penstock.batching.rows import RunningRow
from penstock.batching.sharing import Sharing
from penstock.core.bundle import Bundle
from penstock.core.bundle import bundle as bundle_up
from penstock.core.codec import Signature
from penstock.core.decide import Policy, dead
from penstock.core.job import Failure, Lease
from penstock.core.joining import Joining
from penstock.core.outcome import Ending, Outcome
from penstock.core.tracebacks import format_traceback
from penstock.errors import PayloadError
from penstock.worker.expiry import refusal

#: Calls the function of a lease's task with a list.
CallWith = Callable[[Lease, list[Any]], Awaitable[Any]]
#: The outcome of a lease that returned a value, and of one that raised, with the traceback as text.
Returned = Callable[[Lease, Any], Outcome]
Raised = Callable[[Lease, BaseException, str], Outcome]


class Bundles:
    """Runs them.

    Parameters:
        call: makes the call that jobs share.
        judged: what it may raise and be judged for.
        returned, raised: decide about single jobs.
    """

    def __init__(
        self,
        call: CallWith,
        judged: Callable[[], tuple[type[BaseException], ...]],
        returned: Returned,
        raised: Raised,
    ) -> None:
        self._call = call
        self._judged = judged
        self._returned = returned
        self._raised = raised

    async def run(
        self,
        sharing: Sharing,
        item: Signature,
        bundle: Bundle,
        policy: Policy,
        joining: Joining | None,
        restart: Callable[[], None],
    ) -> Outcome:
        """Run a bundle: every lease of it to an outcome of its own.

        Parameters:
            restart: is told that another call begins.
        """
        refused = {lease.id: outcome for lease in bundle.leases if (outcome := refusal(lease)) is not None}
        if refused:
            rest = [lease for lease in bundle.leases if lease.id not in refused]
            if rest:
                ran = await self.run(sharing, item, bundle_up(rest), policy, joining, restart)
                refused |= {part.lease.id: part for part in ran.parts}
            return Outcome(bundle, parts=tuple(refused[lease.id] for lease in bundle.leases))
        if bundle.crashes >= policy.crash_limit:
            failure = Failure("Crashed", f"the process that ran it died, {bundle.crashes} times over")
            return Outcome(bundle, parts=tuple(dead(lease, failure, crashes=0) for lease in bundle.leases))
        if sharing.writer is not None:
            try:
                written = sharing.writer.bundle(bundle.leases, joining)
            except self._judged() as error:
                return self.failed(bundle, error)
            texts = _Texts()
            told = zip(bundle.leases, written, strict=True)
            return Outcome(
                bundle,
                parts=tuple(
                    each if isinstance(each, Outcome) else self._outcome(lease, Fate(error=each), texts)
                    for lease, each in told
                ),
            )
        parts: dict[bytes, Outcome] = {}
        leases: list[Lease] = []
        items: list[Any] = []
        for lease in bundle.leases:
            try:
                items.append(value_of(item.decode(lease.payload)))
                leases.append(lease)
            except PayloadError as error:
                parts[lease.id] = dead(lease, Failure("PayloadError", str(error)))
        gate_of = (lambda index: leases[index].gate) if sharing.ordered else None
        found = await self._converse(fates(len(items), gate_of), bundle, items, restart)
        texts = _Texts()
        parts.update((lease.id, self._outcome(lease, fate, texts)) for lease, fate in zip(leases, found, strict=True))
        return Outcome(bundle, parts=tuple(parts[lease.id] for lease in bundle.leases))

    def failed(self, bundle: Bundle, error: BaseException) -> Outcome:
        """The outcome of a bundle whose leases all come to the same error."""
        text = format_traceback(error)
        return Outcome(bundle, parts=tuple(self._raised(lease, error, text) for lease in bundle.leases))

    async def run_row(
        self, sharing: Sharing, row: RunningRow, lease: Lease, items: Sequence[Any], restart: Callable[[], None]
    ) -> Outcome:
        """Run the items of a packed row, some at a time; those that fail leave it as jobs of their own.

        Parameters:
            items: decoded, or the error that decoding raised.
            restart: is told that another call begins.
        """
        texts = _Texts()
        for start in range(0, len(items), sharing.max_size):
            # A row that is cut as soon as it runs makes one call all the same: it would be cut for ever.
            if row.cut and (start or row.cancelled):
                return row.until(start)
            part = items[start : start + sharing.max_size]
            good = [each for each in part if not isinstance(each, PayloadError)]
            found = iter(await self._converse(fates(len(good)), lease, good, restart))
            for index, each in enumerate(part, start):
                row.index = index
                error = each if isinstance(each, PayloadError) else next(found).error
                if error is None:
                    row.done()
                elif row.cancelled:
                    return row.until(index)
                else:
                    row.leave(error, texts.of(error))
        return row.whole()

    async def _converse(
        self, calls: Calls, lease: Lease, items: Sequence[Any], restart: Callable[[], None]
    ) -> list[Fate]:
        """Make the calls that are asked for, and tell how they went."""
        try:
            wanted = next(calls)
            while True:
                restart()
                try:
                    value = await self._call(lease, [items[index] for index in wanted])
                except self._judged() as error:
                    wanted = calls.throw(error)
                else:
                    wanted = calls.send(value)
        except StopIteration as stop:
            found: list[Fate] = stop.value
            return found

    def _outcome(self, lease: Lease, fate: Fate, texts: _Texts) -> Outcome:
        if fate.skipped:
            return Outcome(lease, Ending.RELEASED)
        if fate.error is None:
            return self._returned(lease, fate.value)
        if isinstance(fate.error, PayloadError):
            return dead(lease, Failure("PayloadError", str(fate.error)))
        return self._raised(lease, fate.error, texts.of(fate.error))


def value_of(arguments: msgspec.Struct) -> Any:
    """The one item that the arguments of a batch task's job are."""
    return msgspec.structs.astuple(arguments)[0]


class _Texts:
    """Tracebacks as text, each made once however many jobs share it."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[BaseException, str]] = {}

    def of(self, error: BaseException) -> str:
        """The text of one."""
        if id(error) not in self._known:
            self._known[id(error)] = error, format_traceback(error)
        return self._known[id(error)][1]
