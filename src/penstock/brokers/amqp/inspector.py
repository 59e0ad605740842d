"""What can be read and repaired of a queue in RabbitMQ: all that its backend has, and of messages how many wait, which can be cancelled and deleted, and
which have run for some seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from msgspec.structs import replace

from penstock.brokers.amqp.running import Running
from penstock.brokers.amqp.sifting import Sifting
from penstock.brokers.inspect import BatchRecord, Inspector, QueueCounts, Selection, WorkerRecord
from penstock.core.job import JobRecord
from penstock.core.metrics import FINE, Sample
from penstock.core.standing import Standing


class AmqpInspector:
    """See `Inspector`. A job that waits as a message is not found: RabbitMQ tells of no single one.

    Parameters:
        backend: reads the backend.
        waiting: how many messages wait, of each queue that is known.
        sifting: looks for messages.
        running: knows those that run for long.
        held: has the connection for oneself.
    """

    def __init__(
        self,
        backend: Inspector,
        waiting: Callable[[], dict[str, int]],
        sifting: Sifting,
        running: Running,
        held: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._backend = backend
        self._waiting = waiting
        self._sifting = sifting
        self._running = running
        self._held = held

    def get(self, id: bytes) -> JobRecord | None:
        """See `Inspector.get`."""
        found = self._backend.get(id)
        if found is not None:
            return found
        with self._held():
            return self._running.get(id)

    def list(self, selection: Selection, *, limit: int = 50, after: bytes | None = None) -> Sequence[JobRecord]:
        """See `Inspector.list`."""
        with self._held():
            running = [one for one in self._running.list(selection) if after is None or one.id > after]
        found = self._backend.list(selection, limit=limit, after=after)
        return sorted((*found, *running), key=lambda one: one.id)[:limit] if running else found

    def count(self, *, most: int | None = None) -> Sequence[QueueCounts]:
        """See `Inspector.count`. Messages that wait count as ready, and those as running that are known to; delayed ones are in no one queue."""
        waiting = self._waiting()
        with self._held():
            running = Counter(one.queue for one in self._running.list(Selection()))
        counts = {one.queue: one for one in self._backend.count(most=most)}
        for queue in {*(queue for queue, ready in waiting.items() if ready), *running}:
            one = counts.get(queue, QueueCounts(queue))
            counts[queue] = replace(one, ready=one.ready + waiting.get(queue, 0), running=one.running + running[queue])
        return sorted(counts.values(), key=lambda one: one.queue)

    def workers(self) -> Sequence[WorkerRecord]:
        """See `Inspector.workers`."""
        return self._backend.workers()

    def metrics(self, since: float, *, span: int = FINE) -> Sequence[Sample]:
        """See `Inspector.metrics`."""
        return self._backend.metrics(since, span=span)

    def result(self, id: bytes, *, now: float | None = None) -> bytes | None:
        """See `Inspector.result`."""
        return self._backend.result(id, now=now)

    def batch(self, id: bytes) -> BatchRecord | None:
        """See `Inspector.batch`."""
        return self._backend.batch(id)

    def moved_to(self, id: bytes) -> str | None:
        """See `Inspector.moved_to`."""
        return self._backend.moved_to(id)

    def standing(self, id: bytes) -> Standing | None:
        """See `Inspector.standing`."""
        return self._backend.standing(id)

    def cancel(self, selection: Selection) -> int:
        """See `Inspector.cancel`. Messages that wait are gone through; one that has not run for some seconds may not be found."""
        with self._held():
            return self._sifting.cancel(selection) + self._running.cancel(selection) + self._backend.cancel(selection)

    def retry(self, selection: Selection) -> int:
        """See `Inspector.retry`."""
        return self._backend.retry(selection)

    def delete(self, selection: Selection) -> int:
        """See `Inspector.delete`. Messages that wait are gone through."""
        with self._held():
            return self._sifting.delete(selection) + self._backend.delete(selection)
