"""Running what is signed: the signature is checked before anything of a job is decoded, and what it leaves behind is signed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

from msgspec.structs import replace

from penstock.core.bundle import Bundle, bundle
from penstock.core.decide import dead
from penstock.core.job import Failure, Lease
from penstock.core.joining import EndWithin, Joining
from penstock.core.outcome import Outcome
from penstock.core.signing import Scope, Signing
from penstock.errors import PayloadError
from penstock.worker.runner import Runnable, Runner


class Checkable(Runnable, Protocol):
    """What has to be known of a task."""

    @property
    def subscriptions(self) -> Sequence[object]:
        """Which events it is called with."""


class _Opened(Lease, frozen=True, gc=False, kw_only=True):
    """A lease whose signature was right, and is off its payload; `sealed` is as the store knows it."""

    sealed: Lease


class CheckingRunner(Runner):
    """Runs the leases that are signed, and ends all others as dead letters.

    Whoever handed a lease in gets the same one back in its outcome, as the store knows it: on RabbitMQ a job that goes back is
    written anew from its lease.

    Parameters:
        tasks: by name.
        signing: the keys.
    """

    def __init__(self, tasks: Mapping[str, Checkable], signing: Signing) -> None:
        self._signing = signing
        self._checkable = tasks
        self._joining: Joining | None = None
        super().__init__(tasks)

    @property
    def joining(self) -> Joining | None:
        """See `Runner`."""
        return None if self._joining is None else self._closing

    @joining.setter
    def joining(self, joining: Joining | None) -> None:
        self._joining = joining

    def run(self, lease: Lease, slot: int = 0) -> Outcome:
        """See `Runner.run`."""
        opened = self._opened(lease)
        if isinstance(opened, Outcome):
            return opened
        return self._whole(lease, super().run(opened, slot))

    async def run_async(self, lease: Lease, slot: int = 0) -> Outcome:
        """See `Runner.run_async`."""
        opened = self._opened(lease)
        if isinstance(opened, Outcome):
            return opened
        return self._whole(lease, await super().run_async(opened, slot))

    def condemned(self, lease: Lease, error: BaseException) -> Outcome:
        """See `Runner.condemned`."""
        return self._closed(super().condemned(lease, error))

    @contextmanager
    def _closing(self) -> Iterator[EndWithin]:
        assert self._joining is not None
        with self._joining() as end_within:
            yield lambda outcomes, tx: end_within([self._closed(outcome) for outcome in outcomes], tx)

    def _opened(self, lease: Lease) -> Lease | Outcome:
        """What is to be run of a lease; or its end, where nothing is."""
        if isinstance(lease, Bundle):
            found = [self._opened_one(each) for each in lease.leases]
            good = [each for each in found if isinstance(each, Lease)]
            if good:
                return bundle(good)
            return Outcome(lease, parts=tuple(each for each in found if isinstance(each, Outcome)))
        return self._opened_one(lease)

    def _opened_one(self, lease: Lease) -> Lease | Outcome:
        # A task that is not known here is parked for a worker that knows it, and knows its key.
        task = self._checkable.get(lease.task)
        if isinstance(lease, _Opened) or task is None:
            return lease
        try:
            payload = self._signing.opened(
                lease.payload, lease.task, lease.id, packed=lease.packed, is_handler=bool(task.subscriptions)
            )
        except PayloadError as error:
            return dead(lease, Failure("BadSignature", str(error)))
        return _Opened(
            lease.id, lease.key, lease.claim, lease.task, payload, lease.queue, lease.priority, lease.attempt, lease.crashes,
            lease.options, lease.batch, lease.items, lease.packed, lease.item, lease.at_most_once, lease.gate, sealed=lease,
        )  # fmt: skip

    def _whole(self, lease: Lease, outcome: Outcome) -> Outcome:
        """The outcome of a lease of which all, or some parts, were run."""
        if isinstance(lease, _Opened):
            return outcome
        if not isinstance(lease, Bundle):
            return self._closed(outcome)
        ran = {part.lease.id: part for part in map(self._closed, outcome.parts)}
        if len(ran) < len(lease.leases):
            refused = (self._opened_one(each) for each in lease.leases if each.id not in ran)
            ran |= {each.lease.id: each for each in refused if isinstance(each, Outcome)}
        return Outcome(lease, parts=tuple(ran[each.id] for each in lease.leases))

    def _closed(self, outcome: Outcome) -> Outcome:
        """An outcome as the store is to get it: with the lease that it gave, and with signatures of what is stored."""
        lease = outcome.lease
        if not isinstance(lease, _Opened):
            return outcome
        payload = outcome.payload
        if payload is not None:
            payload = self._signing.sealed(payload, Scope.JOB, lease.task, lease.id, packed=lease.packed)
        follow_ups = tuple(self._signing.jobs(outcome.follow_ups))
        return replace(outcome, lease=lease.sealed, payload=payload, follow_ups=follow_ups)


def runner_of(tasks: Mapping[str, Checkable], signing: Signing | None) -> Runner:
    """What runs the jobs of some tasks; without keys, whatever their payloads are."""
    return Runner(tasks) if signing is None else CheckingRunner(tasks, signing)
