"""The other store: it has the jobs that ask for what a message can't do, whole, and the results, counters and dead letters of those that were messages.

Nothing of it is special: jobs are stored, taken and ended in it by what every broker does.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import unquote

from msgspec.structs import replace

from penstock.brokers import connect
from penstock.brokers.amqp.message import kept
from penstock.brokers.base import Broker
from penstock.brokers.inspect import Selection
from penstock.core.job import Holder, Lease, NewJob
from penstock.core.outcome import Ending, Outcome, Step
from penstock.errors import StoreUnavailable

#: The task of a job by which a result is written; its id is that of the job whose result it is.
RESULT = "penstock.result"
#: Queues by which results go in; several, since whoever takes from one may take another's.
_QUEUES = 16
_TRIES = 10
#: In epoch seconds: a job that is stored for then is taken by nobody.
_NEVER = 32_503_680_000.0


class Told(NamedTuple):
    """What is to be written of a job that was a message: its result, the seconds to keep it, and steps of counters."""

    id: bytes
    result: bytes | None
    ttl: float
    steps: tuple[Step, ...]


class Keeper:
    """The backend, connected to when it is first needed.

    Parameters:
        url: of the backend.
        given: was it named, or is it the file that there is by default?
    """

    def __init__(self, url: str, *, given: bool) -> None:
        self._url = url
        self._given = given
        self._broker: Broker | None = None
        self._queue = f"penstock.results:{secrets.randbelow(_QUEUES)}"

    def open(self) -> Broker:
        """The backend, open."""
        if self._broker is None:
            if not self._given:
                os.makedirs(os.path.dirname(unquote(self._url.removeprefix("sqlite:///"))), mode=0o700, exist_ok=True)
            broker = connect(self._url)
            broker.open()
            self._broker = broker
        return self._broker

    def unopened(self) -> Broker:
        """The backend, for what it says of itself."""
        return connect(self._url)

    def close(self) -> None:
        """Disconnect; may be called twice."""
        broker, self._broker = self._broker, None
        if broker is not None:
            broker.close()

    def take_over(self, outcomes: Sequence[Outcome], now: float | None) -> None:
        """Have what becomes of jobs that were messages, as far as it is more than that they are done; safe to repeat.

        A dead letter, a cancelled and a parked job go on there.
        """
        broker = self.open()
        moved = [outcome for outcome in outcomes if outcome.ending in (Ending.DEAD, Ending.PARKED)]
        off = [outcome for outcome in outcomes if outcome.ending is Ending.CANCELLED]
        self.make_way([outcome.lease.id for outcome in (*moved, *off)])
        if moved:
            broker.enqueue([kept(outcome) for outcome in moved], now=now)
        if off:
            # Nobody takes them between the two.
            broker.enqueue([replace(kept(outcome), run_at=_NEVER) for outcome in off], now=now)
            broker.inspector().cancel(Selection(ids=tuple(outcome.lease.id for outcome in off)))
        if moved or off:
            broker.tell_ended([outcome.lease.id for outcome in (*moved, *off)])
        told = [outcome for outcome in outcomes if outcome.steps or outcome.result is not None]
        if told:
            self._tell([Told(each.lease.id, each.result, each.result_ttl, each.steps) for each in told], now)

    def keep(self, values: Mapping[bytes, bytes], ttl: float, now: float | None) -> None:
        """Keep values under ids for so many seconds, in place of what is there; safe to repeat."""
        self._tell([Told(id, value, ttl, ()) for id, value in values.items()], now)

    def make_way(self, ids: Sequence[bytes]) -> None:
        """Delete the results of these jobs that somebody was about to write and was killed: they would stand for the jobs themselves.

        Raises:
            StoreUnavailable: one is held by a process that is not known to be dead yet.
        """
        if not ids:
            return
        inspector = self.open().inspector()
        inspector.delete(Selection(ids=tuple(ids), task=RESULT))
        if any(one.task == RESULT for one in inspector.list(Selection(ids=tuple(ids)), limit=len(ids))):
            raise StoreUnavailable("the backend still waits for a worker that was killed: try again")

    def crashed(self, ids: Iterable[bytes]) -> None:
        """Count a crash for each of these jobs: in counters as batches have, under the job's own id, which no batch has."""
        noted = [Told(secrets.token_bytes(16), None, 0.0, (Step(id, failed=1),)) for id in ids]
        if noted:
            self._tell(noted, None)

    def crashes(self, id: bytes) -> int:
        """How many were counted."""
        counted = self.open().inspector().batch(id)
        return 0 if counted is None else counted.failed

    def _tell(self, told: Sequence[Told], now: float | None) -> None:
        """Write results and steps: only a lease can end, so each is made a job that ends at once."""
        broker, holder = self.open(), Holder(f"results-{secrets.token_hex(8)}")
        by_id = {each.id: each for each in told}
        jobs = [NewJob(id, RESULT, b"", self._queue) for id in by_id]
        for _ in range(_TRIES):
            broker.enqueue(jobs, now=now)
            mine, others = self._claimed(broker, holder, by_id.keys(), len(jobs), now)
            if len(mine) == len(by_id):
                broker.exchange([_written(lease, by_id[lease.id]) for lease in mine], (), 0, holder, now=now)
                broker.requeue(others, holder)
                return
            # One is there from a try that was cut off, under another queue perhaps: it is made anew.
            broker.requeue([*mine, *others], holder)
            with suppress(StoreUnavailable):
                broker.inspector().delete(Selection(ids=tuple(by_id), task=RESULT))
        raise StoreUnavailable("the backend can't store a result now: try again")

    def _claimed(
        self, broker: Broker, holder: Holder, wanted: Iterable[bytes], count: int, now: float | None
    ) -> tuple[list[Lease], list[Lease]]:
        mine: list[Lease] = []
        others: list[Lease] = []
        ids = set(wanted)
        while len(mine) < len(ids):
            leases = broker.exchange((), [self._queue], count, holder, now=now).leases
            if not leases:
                break
            for lease in leases:
                (mine if lease.id in ids else others).append(lease)
        return mine, others


def _written(lease: Lease, told: Told) -> Outcome:
    return Outcome(lease, result=told.result, result_ttl=told.ttl, steps=told.steps)
