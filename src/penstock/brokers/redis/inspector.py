"""Reading and repairing a queue in Redis."""

from __future__ import annotations

import builtins
import heapq
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from penstock.brokers.base import WorkerInfo
from penstock.brokers.inspect import BatchRecord, QueueCounts, Selection, WorkerRecord
from penstock.brokers.redis.flows import go_on
from penstock.brokers.redis.link import Link, moment
from penstock.brokers.redis.record import STATES, job_record
from penstock.core.job import JobRecord
from penstock.core.metrics import FINE, Sample, decoded_sample
from penstock.core.standing import COUNTED, Awaited, GateState, Standing
from penstock.core.states import State

#: Jobs that one script reads or moves, at most.
_AT_ONCE = 500
#: Ready jobs of a queue that one script deletes, at most.
_PURGED = 1000


class RedisInspector:
    """See `penstock.brokers.inspect.Inspector`. Made by `RedisBroker.inspector`, whose connection it uses.

    What is chosen by its state, its batch or its id is found at once; any other selection goes through all jobs, some hundred at a time, so
    that nobody waits for it.
    """

    def __init__(self, link: Link) -> None:
        self._link = link

    def get(self, id: bytes) -> JobRecord | None:
        """See `Inspector.get`."""
        return next(self._read([id]), None)

    def list(self, selection: Selection, *, limit: int = 50, after: bytes | None = None) -> Sequence[JobRecord]:
        """See `Inspector.list`."""
        found: dict[bytes, JobRecord] = {}
        for ids in self._candidates(selection):
            later = [id for id in ids if after is None or id > after]
            found |= {record.id: record for record in self._read(later) if _fits(record, selection)}
            if len(found) > 4 * limit + _AT_ONCE:
                found = {id: found[id] for id in heapq.nsmallest(limit, found)}
        return [found[id] for id in sorted(found)[:limit]]

    def count(self, *, most: int | None = None) -> Sequence[QueueCounts]:
        """See `Inspector.count`: the counters are there already."""
        rows = [QueueCounts(queue.decode(), *counts) for queue, *counts in self._link.run("counts")]
        return sorted(
            (row for row in rows if row.ready or row.running or row.delayed or row.parked or row.dead or row.waiting),
            key=lambda row: row.queue,
        )

    def workers(self) -> Sequence[WorkerRecord]:
        """See `Inspector.workers`."""
        shown = []
        for told, silent_for, running in self._link.run("workers"):
            info = msgspec.msgpack.decode(told, type=WorkerInfo)
            shown.append(
                WorkerRecord(
                    info.id, info.host, info.pid, info.pool, info.slots, info.queues, info.started_at, float(silent_for),
                    running, info.jobs, info.lanes, info.trouble,
                )
            )  # fmt: skip
        return sorted(shown, key=lambda worker: worker.id)

    def metrics(self, since: float, *, span: int = FINE) -> Sequence[Sample]:
        """See `Inspector.metrics`."""
        rows = self._link.run("points", span, repr(float(since)))
        return [decoded_sample(name.decode().partition("\0")[2], float(at), point) for name, at, point in rows]

    def result(self, id: bytes, *, now: float | None = None) -> bytes | None:
        """See `Inspector.result`."""
        value: bytes | None = self._link.run("result", moment(now), id)
        return value

    def batch(self, id: bytes) -> BatchRecord | None:
        """See `Inspector.batch`."""
        counters = self._link.run("batch", id)
        return BatchRecord(id, *(int(number or 0) for number in counters)) if counters else None

    def moved_to(self, id: bytes) -> str | None:
        """See `Inspector.moved_to`."""
        place = self._link.run("moved", id)
        return None if place is None else str(place, "utf-8")

    def standing(self, id: bytes) -> Standing | None:
        """See `Inspector.standing`."""
        found = self._link.run("standing", id, COUNTED + 1)
        if not found:
            return None
        ahead, first, gates, awaits = found
        states = (
            GateState(name.decode(), running, int(most) if most != b"" else None, float(opens_in))
            for name, running, most, opens_in in gates
        )
        waits = tuple(Awaited(name.decode(), ended, total) for name, ended, total in awaits)
        return Standing(ahead, None if first is None or first == id else first, tuple(states), waits)

    def cancel(self, selection: Selection) -> int:
        """See `Inspector.cancel`."""
        only = "running" if selection.state is State.RUNNING else _number(selection.state)
        return self._told(self._change(selection, (*_WAITING, State.RUNNING), "cancel", "", only))

    def retry(self, selection: Selection) -> int:
        """See `Inspector.retry`."""
        total = self._change(selection, _ENDED, "retry", "", _number(selection.state))
        go_on(self._link)
        return total

    def delete(self, selection: Selection) -> int:
        """See `Inspector.delete`."""
        return self._told(self._change(selection, (*_WAITING, *_ENDED), "delete", _number(selection.state)))

    def purge(self, queue: str, left: int) -> int:
        """See `Broker.purge`; `left` jobs of the queue are ready. What comes while it runs may stay."""
        total = 0
        while left > 0:
            done, more = self._link.run("purge", queue, min(left, _PURGED))
            total, left = total + done, left - _PURGED
            if not more:
                break
        # What is delayed, and what keeps an order and is ready; before anything starts that waits for what is deleted.
        total += self._change(Selection(queue=queue, state=State.DELAYED), _WAITING, "delete", _number(State.DELAYED))
        if int(self._link.run("depth", queue)):
            total += self._change(Selection(queue=queue, state=State.READY), _WAITING, "delete", _number(State.READY))
        return self._told(total)

    def _told(self, total: int) -> int:
        """So many jobs were cancelled or deleted, and have ended: see to the stages that wait for them, and tell who waits."""
        if total:
            go_on(self._link)
            self._link.run("ends_tell")
        return total

    def _change(self, selection: Selection, states: tuple[State, ...], script: str, *words: str) -> int:
        """Run a script on what fits and is in one of some states. It looks again itself, for they may have moved."""
        if selection.state is not None and selection.state not in states:
            return 0
        total = 0
        for ids in [*self._candidates(selection)]:
            chosen = [record.id for record in self._read(ids) if _fits(record, selection) and record.state in states]
            if chosen:
                total += int(self._link.run(script, *words, *chosen))
        return total

    def _candidates(self, selection: Selection) -> Iterator[builtins.list[bytes]]:
        """Ids, some at a time, that have all in them that fits."""
        if selection.state is State.DONE:
            return
        if selection.ids is not None:
            yield from _some(sorted(set(selection.ids)))
        elif selection.batch is not None:
            yield from self._scan("SSCAN", b"bj:" + selection.batch)
        elif selection.state in _KEPT:
            yield from self._scan("ZSCAN", _KEPT[selection.state])
        elif selection.state is State.RUNNING:
            yield from _some(self._link.run("running"))
        else:
            yield from self._scan("HSCAN", b"jobs")

    def _scan(self, command: str, name: bytes) -> Iterator[builtins.list[bytes]]:
        """The members of a big key. Members may come twice, and those that come or go meanwhile may or may not."""
        cursor: Any = b"0"
        while True:
            cursor, ids = self._link.run("scan", command, name, cursor, _AT_ONCE)
            yield from _some(ids)
            if cursor == b"0":
                return

    def _read(self, ids: Sequence[bytes]) -> Iterator[JobRecord]:
        if not ids:
            return
        rows = self._link.run("read", *ids)
        for id, (record, failure, unique, _, holder) in zip(ids, rows, strict=True):
            if record is not None:
                yield job_record(id, record, failure, unique, _shown(holder))


_WAITING = (State.READY, State.DELAYED, State.PARKED, State.WAITING)
_ENDED = (State.DEAD, State.CANCELLED)
#: Those states of which the ids are in a sorted set of their own.
_KEPT = {State.DELAYED: b"delayed", State.DEAD: b"dead", State.CANCELLED: b"cancelled"}


def _number(state: State | None) -> str:
    return str(STATES.index(state)) if state in STATES else ""


def _some(ids: Sequence[bytes]) -> Iterator[list[bytes]]:
    for start in range(0, len(ids), _AT_ONCE):
        yield list(ids[start : start + _AT_ONCE])


def _shown(holder: bytes | None) -> str | None:
    if holder is None:
        return None
    worker, process, _ = holder.rsplit(b"\0", 2)
    return f"{worker.decode()}/{process.decode()}"


def _fits(record: JobRecord, selection: Selection) -> bool:
    return (
        (selection.state is None or record.state is selection.state)
        and (selection.queue is None or record.queue == selection.queue)
        and (selection.task is None or record.task == selection.task)
        and (selection.batch is None or record.batch == selection.batch)
    )
