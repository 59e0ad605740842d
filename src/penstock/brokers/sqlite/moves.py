"""The moves a job makes between the tables of a SQLite queue; each inside a transaction that its caller has begun."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import msgspec

from penstock.brokers.sqlite.endings import Endings
from penstock.brokers.sqlite.flows import Flows, Settled
from penstock.brokers.sqlite.gates import Gates
from penstock.brokers.sqlite.keys import Keys
from penstock.brokers.sqlite.order import Order, ordered_lines
from penstock.brokers.sqlite.taken import Taken
from penstock.core.codec import encode_failure
from penstock.core.decide import INTERRUPTED
from penstock.core.job import Holder, NewJob, due_at
from penstock.core.limiter import line, queue_gate
from penstock.core.outcome import Ending, Outcome, Step, called_off
from penstock.stores.statements import Statements

#: Of a row of `claim_select`.
_RANK = itemgetter(0)


class Moves:
    """Storing, claiming, ending and giving back jobs, by the statements of one namespace."""

    def __init__(self, sql: Statements) -> None:
        self._sql = sql
        self._turn = 0
        self.gates = Gates(sql)
        self.order = Order(sql)
        self.flows = Flows(sql, self.to_the_back)
        self.keys = Keys(sql, self.order)

    def enqueue(
        self, connection: sqlite3.Connection, jobs: Sequence[NewJob], now: float
    ) -> tuple[list[bytes], list[str]]:
        """Store jobs, and count them in their batches.

        Returns:
            The ids that stand for them, and the sockets at which workers listen.
        """
        if any(job.dedup is not None for job in jobs):
            return self._enqueue_each(connection, jobs, now)
        before, listeners = self.insert(connection, jobs, now)
        ids: list[bytes] = []
        batched = unique = False
        for job in jobs:
            ids.append(job.id)
            batched |= job.batch is not None
            unique |= job.unique is not None
        if batched:
            connection.execute(self._sql["batch_grow"], (before,))
        if unique:
            ids = [self._standing_for(connection, job) for job in jobs]
        return ids, listeners

    def _enqueue_each(
        self, connection: sqlite3.Connection, jobs: Sequence[NewJob], now: float
    ) -> tuple[list[bytes], list[str]]:
        """As `enqueue`, one after the other: what becomes of a key may depend on the job before."""
        ids: list[bytes] = []
        for job in jobs:
            settled = self.keys.settle(connection, job, now)
            ids += [settled] if isinstance(settled, bytes) else self.enqueue(connection, [settled], now)[0]
        return ids, self.listeners(connection)

    def _standing_for(self, connection: sqlite3.Connection, job: NewJob) -> bytes:
        if job.unique is None:
            return job.id
        return bytes(connection.execute(self._sql["unique_holder"], (job.id, job.unique)).fetchone()[0])

    def insert(self, connection: sqlite3.Connection, jobs: Sequence[NewJob], now: float) -> tuple[int, list[str]]:
        """Store jobs; returns the seq after which all of them stand, and the sockets at which workers listen."""
        before, sockets = connection.execute(self._sql["frontier"]).fetchone()
        alive: list[tuple[object, ...]] = []
        dead: list[NewJob] = []
        delayed = limited = False
        lines: dict[str, int] = {}
        for job in jobs:
            limited |= job.gate is not None
            if job.dead:
                dead.append(job)
            else:
                run_at = due_at(job, now)
                delayed |= run_at is not None
                alive.append(_row(before + 1 + len(alive), job, run_at, now))
        if limited:
            self.gates.stored(connection, jobs)
            lines = ordered_lines(jobs)
        if alive:
            self._insert(connection, alive, lines)
            connection.execute(self._sql["ready_unordered" if lines else "ready_new"], (before,))
            if delayed:
                connection.execute(self._sql["delay_new"], (before,))
        if dead:
            last = before + len(alive)
            rows = [_row(seq, job, None, now) for seq, job in enumerate(dead, last + 1)]
            self._insert(connection, rows, lines, placed=False)
            connection.execute(self._sql["dead_new"], (last, now))
        self.order.open(connection, lines.values())
        return before, sockets.split("/") if sockets else []

    def insert_waiting(self, connection: sqlite3.Connection, jobs: Sequence[NewJob], now: float) -> None:
        """Store jobs that wait for their stages to start."""
        before, _ = connection.execute(self._sql["frontier"]).fetchone()
        rows = [_row(seq, job, job.run_at, now) for seq, job in enumerate(jobs, before + 1)]
        self._insert(connection, rows, ordered_lines(jobs), placed=False)
        connection.execute(self._sql["wait_new"], (before,))
        delays = [(job.id, job.delay) for job in jobs if job.run_at is None and job.delay]
        connection.executemany(self._sql["wait_delay"], delays)

    def _insert(
        self,
        connection: sqlite3.Connection,
        rows: Sequence[tuple[Any, ...]],
        lines: Mapping[str, int],
        *,
        placed: bool = True,
    ) -> None:
        """Store rows; those of these lines have a place in their order from now on, if they are `placed` and not delayed."""
        if not lines:
            connection.executemany(self._sql["insert_job"], rows)
            return
        more = (_turn(row, lines.get(row[2]), placed=placed) for row in rows)
        connection.executemany(
            self._sql["insert_ordered"], [(*row, *turn) for row, turn in zip(rows, more, strict=True)]
        )

    def fence(self, connection: sqlite3.Connection, endings: Endings) -> tuple[Endings, list[Outcome]]:
        """End the leases that are still in force; returns the endings of those, and the outcomes of the stale ones.

        One statement per claim that agrees on the number is the usual case. Only where it does not is the
        transaction begun again, to ask which they were.
        """
        endings = self._called_off(connection, endings)
        for claim, keys, count in endings.claims:
            if connection.execute(self._sql["end_running"], (keys, claim)).rowcount != count:
                break
        else:
            return endings, []
        connection.execute("rollback")
        connection.execute("begin immediate")
        return self.fence_each(connection, endings)

    def _called_off(self, connection: sqlite3.Connection, endings: Endings) -> Endings:
        """The endings, with those of jobs that are to be cancelled changed so that none of them runs again."""
        rows = connection.execute(self._sql["cancelled_among"], (endings.again,)).fetchall() if endings.again else []
        if not rows:
            return endings
        marked = set(rows)
        return Endings(
            [
                called_off(outcome) if (outcome.lease.claim, outcome.lease.key) in marked else outcome
                for outcome in endings.outcomes
            ],
            endings.now,
        )

    def fence_each(self, connection: sqlite3.Connection, endings: Endings) -> tuple[Endings, list[Outcome]]:
        """As `fence`, by statements that tell which leases they ended; without beginning the transaction again."""
        endings = self._called_off(connection, endings)
        ended = {
            (claim, seq)
            for claim, keys, _ in endings.claims
            for (seq,) in connection.execute(self._sql["end_running_each"], (keys, claim)).fetchall()
        }
        good: list[Outcome] = []
        stale: list[Outcome] = []
        for outcome in endings.outcomes:
            mark = (outcome.lease.claim, outcome.lease.key)
            (good if mark in ended else stale).append(outcome)
            ended.discard(mark)
        return Endings(good, endings.now), stale

    def apply(self, connection: sqlite3.Connection, endings: Endings) -> tuple[bool, Settled]:
        """Write down endings whose leases were in force.

        Returns:
            Whether others of their keys may start now, where these keep an order, and what became of stages that waited for them.
        """
        now = endings.now
        lines = self.order.ended(connection, endings.outcomes)
        if endings.results:
            connection.executemany(self._sql["keep_result"], endings.results)
        for outcome in endings.others:
            if outcome.payload is not None:
                new = (outcome.lease.key, outcome.payload, outcome.items)
                connection.execute(self._sql["replace_payload"], new)
            if outcome.ending is not Ending.RELEASED:
                self._apply_slow(connection, outcome, now)
        if endings.done:
            connection.execute(self._sql["delete_jobs"], (endings.done,))
        if endings.released:
            self._release(connection, endings.released)
        self.gates.ended(connection, endings.outcomes, now)
        # Not before all of them have been written down: what is first in a line may be among the last.
        self.order.open(connection, lines)
        if endings.born:
            self.insert(connection, endings.born, now)
        return bool(lines), self._step(connection, endings.steps.values(), now) if endings.steps else Settled()

    def _step(self, connection: sqlite3.Connection, steps: Iterable[Step], now: float) -> Settled:
        """Count steps, and settle what follows from the end of a batch, or from a failure."""
        changed: list[bytes] = []
        for step in steps:
            counted = (step.batch, step.done, step.failed, step.retried, step.total)
            (is_over,) = connection.execute(self._sql["batch_step"], counted).fetchone()
            if is_over or step.failed:
                changed.append(step.batch)
        return self.flows.settle(connection, changed, now) if changed else Settled()

    def _apply_slow(self, connection: sqlite3.Connection, outcome: Outcome, now: float) -> None:
        """The endings that are rarer, one statement or two each."""
        seq = outcome.lease.key
        failure = encode_failure(outcome.failure)
        match outcome.ending:
            case Ending.RETRY | Ending.SNOOZE:
                run_at = now + outcome.delay
                attempts = 1 if outcome.ending is Ending.RETRY else 0
                connection.execute(self._sql["run_later"], (seq, run_at, attempts, failure))
                if outcome.delay > 0:
                    connection.execute(self._sql["delay"], (run_at, seq))
                else:
                    self._to_the_back(connection, json.dumps([seq]), now)
            case Ending.DEAD | Ending.CANCELLED:
                attempts, crashes = outcome.counts
                connection.execute(self._sql["end_job"], (seq, attempts, failure, crashes))
                state = "dead" if outcome.ending is Ending.DEAD else "cancelled"
                connection.execute(self._sql["ended"], (seq, state, now))
            case _:
                connection.execute(self._sql["park"], (seq,))

    def to_the_back(self, connection: sqlite3.Connection, keys: str, now: float) -> None:
        """Make jobs ready behind all others, or where they were in the order of their key; `keys` is a JSON array of their seqs."""
        self._to_the_back(connection, keys, now)
        self.order.open(connection, self.order.lines(connection, keys))

    def release(self, connection: sqlite3.Connection, keys: str) -> None:
        """Put jobs where they belong in the ready set; `keys` is a JSON array of their seqs."""
        self._release(connection, keys)
        self.order.open(connection, self.order.lines(connection, keys))

    def _to_the_back(self, connection: sqlite3.Connection, keys: str, now: float) -> None:
        """As `to_the_back`, where the caller opens the lines that keep an order."""
        connection.execute(self._sql["reserve_places"], (keys,))
        connection.execute(self._sql["to_the_back"], (keys, now))
        self._release(connection, keys)

    def _release(self, connection: sqlite3.Connection, keys: str) -> None:
        connection.execute(self._sql["release"], (keys,))
        self.gates.back(connection, keys)

    def listeners(self, connection: sqlite3.Connection) -> list[str]:
        """The sockets at which workers listen."""
        return [socket for (socket,) in connection.execute(self._sql["sockets"]).fetchall()]

    def claim(
        self, connection: sqlite3.Connection, queues: Sequence[str], limit: int, holder: Holder, now: float
    ) -> Taken:
        """Take the heads of the queues; the queue that comes first changes from call to call."""
        if not queues:
            return Taken(0, [])
        claim: int = connection.execute(self._sql["next_claim"]).fetchone()[0]
        key, limited, ordered = self.holder_key(connection, holder)
        self._turn += 1
        start = self._turn % len(queues)
        turned = (*queues[start:], *queues[:start])

        def take(name: str, most: int, gate: str | None, queue: str | None) -> list[int]:
            if ordered:
                return self.order.claim(connection, name, most, (key, claim, gate, queue))
            rows = connection.execute(self._sql["claim_select"], (name, most)).fetchall()
            for rank, group in groupby(rows, key=_RANK):
                *_, last = group
                bound = (name, rank, *last[1:])
                if gate is None and queue is None:
                    connection.execute(self._sql["claim_mark"], (key, claim, *bound))
                else:
                    connection.execute(self._sql["claim_mark_limited"], (key, claim, *bound, gate, queue))
                connection.execute(self._sql["claim_take"], bound)
            return [seq for _, _, seq in rows]

        if limited:
            lines_first = self._turn // len(queues) % 2 == 0
            return Taken(claim, self.gates.claim(connection, turned, limit, take, now, lines_first=lines_first))
        taken: list[int] = []
        for queue in turned:
            if len(taken) >= limit:
                break
            taken += take(queue, limit - len(taken), None, None)
        return Taken(claim, taken)

    def holder_key(self, connection: sqlite3.Connection, holder: Holder) -> tuple[int, bool, bool]:
        """The key of a holder, which is known from its first claim on; whether anything may be limited, and any job keeps an order."""
        # Asked at every claim: a worker that was given up for dead, and lives, must not go on under a key that is gone.
        found = connection.execute(self._sql["holder_key"], (holder.worker, holder.process)).fetchone()
        if found is None:
            connection.execute(self._sql["holder_add"], (holder.worker, holder.process, time.monotonic()))
            found = connection.execute(self._sql["holder_key"], (holder.worker, holder.process)).fetchone()
        return int(found[0]), bool(found[1]), bool(found[2])

    def give_back(self, connection: sqlite3.Connection, key: int, crashed: frozenset[bytes], now: float) -> int:
        """Give back what a holder held; returns how many jobs."""
        rows = connection.execute(self._sql["held"], (key,)).fetchall()
        if not rows:
            return 0
        connection.execute(self._sql["drop_running"], (json.dumps([row[0] for row in rows]),))
        connection.execute(self._sql["count_crash"], (json.dumps([row[0] for row in rows if row[1] in crashed]),))
        self._release(connection, json.dumps([row[0] for row in rows if not (row[2] or row[3])]))
        self.gates.open(connection, (gate for row in rows for gate in (row[6], row[7] and queue_gate(row[7]))))
        steps: list[Step] = []
        for seq, _, at_most_once, cancelled, batch, items, *_ in rows:
            if at_most_once or cancelled:
                failure = msgspec.msgpack.encode(INTERRUPTED) if at_most_once else None
                connection.execute(self._sql["end_job"], (seq, 1 if at_most_once else 0, failure, 0))
                connection.execute(self._sql["ended"], (seq, "dead" if at_most_once else "cancelled", now))
                if batch is not None:
                    steps.append(Step(batch, failed=items))
        self._step(connection, steps, now)
        self.order.open(connection, {row[8] for row in rows if row[8] is not None})
        return len(rows)

    def forget_worker(self, connection: sqlite3.Connection, worker: str) -> int:
        """Take a worker and its holders off the lists, and give back what they held; returns how many jobs."""
        given_back = 0
        for (key,) in connection.execute(self._sql["holders_of"], (worker,)).fetchall():
            given_back += self.give_back(connection, key, frozenset(), time.time())
            connection.execute(self._sql["holder_forget"], (key,))
        connection.execute(self._sql["worker_forget"], (worker,))
        return given_back


def _row(seq: int, job: NewJob, run_at: float | None, now: float) -> tuple[object, ...]:
    failure = encode_failure(job.failure)
    unique = None if job.dead else job.unique
    # fmt: off
    return (
        seq, job.id, job.queue if job.gate is None else line(job.queue, job.gate), job.priority, job.task, job.payload, job.options, job.attempt, job.batch, job.items,
        job.packed, job.item, unique, job.at_most_once, run_at, now, failure,
    )
    # fmt: on


def _turn(row: tuple[Any, ...], line: int | None, *, placed: bool) -> tuple[int | None, int | None]:
    """The number of a job's line, and its place in that; `row` is as `_row` makes it."""
    if line is None:
        return None, None
    seq, run_at = row[0], row[14]
    return line, seq if placed and run_at is None else 0
