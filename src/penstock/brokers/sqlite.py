"""The embedded broker: a queue in one SQLite file, shared by any number of processes of one machine.

Where a job stands is told by the one table that holds its seq: ready, running, delayed, parked or ended. Writers take
turns by a kernel file lock, and each exchange is one transaction: endings are fenced by `(seq, claim)`, where the
claim number is never given twice.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import groupby
from typing import Any, ClassVar

import msgspec

from penstock.brokers.base import Broker, Exchange, Feature, WorkerInfo
from penstock.brokers.sqlite_inspector import SqliteInspector
from penstock.core.job import Failure, Holder, Lease, NewJob
from penstock.core.outcome import Ending, Outcome, Step
from penstock.errors import ConfigError, StoreError
from penstock.stores import doorbell, sqlite
from penstock.stores.migrate import migrate
from penstock.stores.statements import Statements

_INTERRUPTED = Failure("Interrupted", "its worker died while it held this job, which may not run twice (at_most_once)")


class SqliteBroker(Broker):
    """A queue in a file: `sqlite:///jobs.db?durability=full&namespace=penstock`."""

    features: ClassVar[frozenset[Feature]] = frozenset(Feature)

    def __init__(self, url: str) -> None:
        parsed = sqlite.parse(url)
        unknown = set(parsed.options) - {"durability", "namespace"}
        if unknown:
            raise ConfigError(f"sqlite:// takes ?durability= and ?namespace=, not {', '.join(sorted(unknown))}")
        self._path = parsed.path
        self._durability = parsed.options.get("durability", "full")
        self._sql = Statements("sqlite", parsed.options.get("namespace", "penstock"))
        self._connection: sqlite3.Connection | None = None
        self._lock = sqlite.FileLock(parsed.path)
        self._bell = doorbell.Doorbell(parsed.path)
        self._turn = 0

    def open(self) -> None:
        """See `Broker.open`."""
        if self._connection is None:
            self._connection = sqlite.connect(self._path, durability=self._durability)
            try:
                self.install()
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """See `Broker.close`."""
        if self._connection is not None:
            with sqlite.translating(self._path):
                self._connection.close()
            self._connection = None
        self._lock.close()
        self._bell.close()

    def install(self) -> None:
        """See `Broker.install`."""
        with sqlite.translating(self._path):
            migrate(self._path, self._open, self._transaction, self._sql)

    def inspector(self) -> SqliteInspector:
        """The reading side, on this broker's connection."""
        return SqliteInspector(self._path, self._open, self._transaction, self._sql)

    @property
    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError(f"the queue {self._path} is closed: call open() first")
        return self._connection

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._open
        with sqlite.translating(self._path), self._lock:
            connection.execute("begin immediate")
            try:
                yield connection
                connection.execute("commit")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("rollback")
                raise

    # --- the way in

    def enqueue(self, jobs: Sequence[NewJob], *, now: float | None = None, tx: object | None = None) -> list[bytes]:
        """See `Broker.enqueue`; `tx` is a `sqlite3.Connection` to the same file."""
        now = time.time() if now is None else now
        if tx is not None:
            if not isinstance(tx, sqlite3.Connection):
                raise ConfigError(f"tx must be a sqlite3.Connection to {self._path}, not {type(tx).__name__}")
            with sqlite.translating(self._path):
                return self._enqueue(tx, jobs, now)
        with self._transaction() as connection:
            ids = self._enqueue(connection, jobs, now)
            sockets = connection.execute(self._sql["sockets"]).fetchall()
        for (socket,) in sockets:
            self._bell.ring(socket)
        return ids

    def _enqueue(self, connection: sqlite3.Connection, jobs: Sequence[NewJob], now: float) -> list[bytes]:
        before = self._insert(connection, jobs, now)
        if any(job.batch is not None for job in jobs):
            connection.execute(self._sql["batch_grow"], (before,))
        if all(job.unique is None for job in jobs):
            return [job.id for job in jobs]
        return [self._standing_for(connection, job) for job in jobs]

    def _standing_for(self, connection: sqlite3.Connection, job: NewJob) -> bytes:
        if job.unique is None:
            return job.id
        return bytes(connection.execute(self._sql["unique_holder"], (job.id, job.unique)).fetchone()[0])

    def _insert(self, connection: sqlite3.Connection, jobs: Sequence[NewJob], now: float) -> int:
        """Store jobs; returns the seq after which all of them stand."""
        before: int = connection.execute(self._sql["last_seq"]).fetchone()[0]
        alive = [job for job in jobs if not job.dead]
        if alive:
            rows = [(seq, *_row(job, now)) for seq, job in enumerate(alive, before + 1)]
            connection.executemany(self._sql["insert_job"], rows)
            connection.execute(self._sql["ready_new"], (before,))
            if any(job.run_at is not None for job in alive):
                connection.execute(self._sql["delay_new"], (before,))
        if len(alive) < len(jobs):
            last = before + len(alive)
            rows = [(seq, *_row(job, now)) for seq, job in enumerate((job for job in jobs if job.dead), last + 1)]
            connection.executemany(self._sql["insert_job"], rows)
            connection.execute(self._sql["dead_new"], (last, now))
        return before

    # --- the exchange

    def exchange(
        self,
        outcomes: Sequence[Outcome],
        queues: Sequence[str],
        limit: int,
        holder: Holder,
        *,
        now: float | None = None,
    ) -> Exchange:
        """See `Broker.exchange`."""
        if not outcomes and not self._any_ready(queues, limit):
            return Exchange([], [])
        now = time.time() if now is None else now
        with self._transaction() as connection:
            good, stale = self._fence(connection, outcomes)
            self._apply(connection, good, now)
            leases = self._claim(connection, queues, limit, holder) if limit > 0 else []
            born = any(outcome.follow_ups for outcome in good)
            sockets = connection.execute(self._sql["sockets"]).fetchall() if born else ()
        for (socket,) in sockets:
            self._bell.ring(socket)
        return Exchange(leases, stale)

    def _any_ready(self, queues: Sequence[str], limit: int) -> bool:
        """Look without locking: an idle worker's polls should cost no write."""
        if limit <= 0:
            return False
        with sqlite.translating(self._path):
            return any(self._open.execute(self._sql["any_ready"], (queue,)).fetchone() for queue in queues)

    def _fence(
        self, connection: sqlite3.Connection, outcomes: Sequence[Outcome]
    ) -> tuple[list[Outcome], list[Outcome]]:
        """End the leases that are still in force; returns the outcomes of those, and the stale ones.

        One statement per claim that agrees on the number is the usual case. Only where it does not is the
        transaction begun again, to ask which they were.
        """
        if not outcomes:
            return [], []
        claims: dict[int, list[Outcome]] = {}
        for outcome in outcomes:
            claims.setdefault(outcome.lease.claim, []).append(outcome)
        for claim, group in claims.items():
            if connection.execute(self._sql["end_running"], (_keys(group), claim)).rowcount != len(group):
                break
        else:
            return list(outcomes), []
        connection.execute("rollback")
        connection.execute("begin immediate")
        good: list[Outcome] = []
        stale: list[Outcome] = []
        for claim, group in claims.items():
            ended = {
                seq for (seq,) in connection.execute(self._sql["end_running_each"], (_keys(group), claim)).fetchall()
            }
            for outcome in group:
                fresh = outcome.lease.key in ended
                ended.discard(outcome.lease.key)
                (good if fresh else stale).append(outcome)
        return good, stale

    def _apply(self, connection: sqlite3.Connection, outcomes: Sequence[Outcome], now: float) -> None:
        done: list[int] = []
        released: list[int] = []
        steps: dict[bytes, Step] = {}
        born: list[NewJob] = []
        for outcome in outcomes:
            if outcome.ending is Ending.DONE:
                done.append(outcome.lease.key)
                if outcome.result is not None:
                    expiry = now + outcome.result_ttl
                    connection.execute(self._sql["keep_result"], (outcome.lease.id, outcome.result, expiry))
            else:
                if outcome.payload is not None:
                    new = (outcome.lease.key, outcome.payload, outcome.items)
                    connection.execute(self._sql["replace_payload"], new)
                if outcome.ending is Ending.RELEASED:
                    released.append(outcome.lease.key)
                else:
                    self._apply_slow(connection, outcome, now)
            born.extend(outcome.follow_ups)
            for step in outcome.steps:
                steps[step.batch] = _add(steps.get(step.batch), step)
        if done:
            connection.execute(self._sql["delete_jobs"], (json.dumps(done),))
        if released:
            connection.execute(self._sql["release"], (json.dumps(released),))
        if born:
            self._insert(connection, born, now)
        for step in steps.values():
            connection.execute(self._sql["batch_step"], (step.batch, step.done, step.failed, step.retried, step.total))

    def _apply_slow(self, connection: sqlite3.Connection, outcome: Outcome, now: float) -> None:
        """The endings that are rarer, one statement or two each."""
        seq = outcome.lease.key
        failure = _encoded(outcome.failure)
        match outcome.ending:
            case Ending.RETRY | Ending.SNOOZE:
                run_at = now + outcome.delay
                attempts = 1 if outcome.ending is Ending.RETRY else 0
                connection.execute(self._sql["run_later"], (seq, run_at, attempts, failure))
                if outcome.delay > 0:
                    connection.execute(self._sql["delay"], (run_at, seq))
                else:
                    self._to_the_back(connection, [seq])
            case Ending.DEAD | Ending.CANCELLED:
                attempts = 1 if outcome.ending is Ending.DEAD and failure is not None else 0
                connection.execute(self._sql["end_job"], (seq, attempts, failure))
                state = "dead" if outcome.ending is Ending.DEAD else "cancelled"
                connection.execute(self._sql["ended"], (seq, state, now))
            case _:
                connection.execute(self._sql["park"], (seq,))

    def _to_the_back(self, connection: sqlite3.Connection, seqs: Sequence[int]) -> None:
        keys = json.dumps(seqs)
        for statement in ("reserve_places", "to_the_back", "release"):
            connection.execute(self._sql[statement], (keys,))

    def _claim(self, connection: sqlite3.Connection, queues: Sequence[str], limit: int, holder: Holder) -> list[Lease]:
        leases: list[Lease] = []
        if not queues:
            return leases
        claim: int = connection.execute(self._sql["next_claim"]).fetchone()[0]
        key = self._holder_key(connection, holder)
        self._turn += 1
        start = self._turn % len(queues)
        for queue in (*queues[start:], *queues[:start]):
            rows = connection.execute(self._sql["claim_select"], (queue, limit - len(leases))).fetchall()
            for rank, group in groupby(rows, key=_rank):
                *_, last = group
                bound = (queue, rank, last[-1], last[0])
                connection.execute(self._sql["claim_mark"], (key, claim, *bound))
                connection.execute(self._sql["claim_take"], bound)
            leases.extend(_lease(row, queue, claim) for row in rows)
            if len(leases) >= limit:
                break
        return leases

    def _holder_key(self, connection: sqlite3.Connection, holder: Holder) -> int:
        # Asked at every claim: a worker that was given up for dead, and lives, must not go on under a key that is gone.
        found = connection.execute(self._sql["holder_key"], (holder.worker, holder.process)).fetchone()
        if found is None:
            connection.execute(self._sql["holder_add"], (holder.worker, holder.process, time.monotonic()))
            found = connection.execute(self._sql["holder_key"], (holder.worker, holder.process)).fetchone()
        return int(found[0])

    # --- giving back

    def abandon(self, holder: Holder, crashed: Sequence[bytes] = ()) -> int:
        """See `Broker.abandon`."""
        with self._transaction() as connection:
            row = connection.execute(self._sql["holder_key"], (holder.worker, holder.process)).fetchone()
            return 0 if row is None else self._give_back(connection, row[0], frozenset(crashed), time.time())

    def _give_back(self, connection: sqlite3.Connection, key: int, crashed: frozenset[bytes], now: float) -> int:
        rows = connection.execute(self._sql["held"], (key,)).fetchall()
        if not rows:
            return 0
        connection.execute(self._sql["drop_running"], (json.dumps([row[0] for row in rows]),))
        connection.execute(self._sql["count_crash"], (json.dumps([row[0] for row in rows if row[1] in crashed]),))
        connection.execute(self._sql["release"], (json.dumps([row[0] for row in rows if not row[2]]),))
        for seq, _, at_most_once, batch, items in rows:
            if at_most_once:
                connection.execute(self._sql["end_job"], (seq, 1, msgspec.msgpack.encode(_INTERRUPTED)))
                connection.execute(self._sql["ended"], (seq, "dead", now))
                if batch is not None:
                    connection.execute(self._sql["batch_step"], (batch, 0, items, 0, 0))
        return len(rows)

    def purge(self, queue: str) -> int:
        """See `Broker.purge`."""
        with self._transaction() as connection:
            rows = connection.execute(self._sql["queued"], (queue,)).fetchall()
            keys = json.dumps([seq for (seq,) in rows])
            for statement in ("batch_shrink", "undelay", "unready", "delete_jobs"):
                connection.execute(self._sql[statement], (keys,))
        return len(rows)

    # --- workers

    def heartbeat(self, worker: WorkerInfo, *, now: float | None = None) -> None:
        """See `Broker.heartbeat`; `now` is on the machine's monotonic clock, which no one can set."""
        now = time.monotonic() if now is None else now
        with self._transaction() as connection:
            connection.execute(self._sql["beat"], (worker.id, msgspec.msgpack.encode(worker), now, self._bell.name))

    def depart(self, worker: str) -> None:
        """See `Broker.depart`."""
        with self._transaction() as connection:
            self._forget_worker(connection, worker)

    def _forget_worker(self, connection: sqlite3.Connection, worker: str) -> int:
        given_back = 0
        for (key,) in connection.execute(self._sql["holders_of"], (worker,)).fetchall():
            given_back += self._give_back(connection, key, frozenset(), time.time())
            connection.execute(self._sql["holder_forget"], (key,))
        connection.execute(self._sql["worker_forget"], (worker,))
        return given_back

    def rescue(self, *, dead_after: float, now: float | None = None) -> int:
        """See `Broker.rescue`; `now` is on the machine's monotonic clock.

        A worker is dead as well when nobody holds the socket it listened at, or when its last sign of life lies in
        the future: then it is from before the machine's last start.
        """
        now = time.monotonic() if now is None else now
        with sqlite.translating(self._path):
            known = self._open.execute(self._sql["holders"]).fetchall()
            workers = self._open.execute(self._sql["workers"]).fetchall()
            orphans = self._open.execute(self._sql["orphans"]).fetchall()
        dead = {
            worker: socket
            for worker, seen, socket in [(w, beat, s) for w, _, beat, s in workers]
            + [(w, b, s) for _, w, b, s in known]
            if seen < now - dead_after or seen > now or self._bell.is_dead(socket)
        }
        if not dead and not orphans:
            return 0
        with self._transaction() as connection:
            rescued = sum(self._give_back(connection, key, frozenset(), time.time()) for (key,) in orphans)
            rescued += sum(self._forget_worker(connection, worker) for worker in dead)
        for socket in dead.values():
            self._bell.remove(socket)
        return rescued

    # --- upkeep

    def promote(self, *, now: float | None = None, limit: int = 10_000) -> float | None:
        """See `Broker.promote`."""
        now = time.time() if now is None else now
        while True:
            with sqlite.translating(self._path):
                row = self._open.execute(self._sql["next_due"]).fetchone()
            if row is None or row[0] > now:
                return None if row is None else float(row[0])
            with self._transaction() as connection:
                keys, _ = connection.execute(self._sql["due"], (now, limit)).fetchone()
                for statement in ("undelay", "reserve_places", "to_the_back", "release"):
                    connection.execute(self._sql[statement], (keys,))

    def unpark(self, tasks: Sequence[str]) -> int:
        """See `Broker.unpark`."""
        names = json.dumps(list(tasks))
        with sqlite.translating(self._path):
            count: int = self._open.execute(self._sql["parked_of"], (names,)).fetchone()[1]
        if count:
            with self._transaction() as connection:
                keys, count = connection.execute(self._sql["parked_of"], (names,)).fetchone()
                connection.execute(self._sql["unpark"], (names,))
                connection.execute(self._sql["release"], (keys,))
        return count

    def prune(self, *, now: float | None = None) -> int:
        """See `Broker.prune`."""
        with self._transaction() as connection:
            return connection.execute(self._sql["prune_results"], (time.time() if now is None else now,)).rowcount

    def depth(self, queue: str) -> int:
        """See `Broker.depth`."""
        with sqlite.translating(self._path):
            return int(self._open.execute(self._sql["depth"], (queue,)).fetchone()[0])

    def listen(self, wake: Callable[[], None]) -> AbstractContextManager[None]:
        """See `Broker.listen`: a Unix datagram socket beside the file."""
        return self._bell.listening(wake)


def _keys(outcomes: Sequence[Outcome]) -> str:
    return json.dumps([outcome.lease.key for outcome in outcomes])


def _encoded(failure: Failure | None) -> bytes | None:
    """A failure as bytes. An exception may quote a file name that is no Unicode, which is no reason to lose its end."""
    if failure is None:
        return None
    try:
        return msgspec.msgpack.encode(failure)
    except UnicodeEncodeError:
        texts = (failure.kind, failure.message, failure.traceback)
        return msgspec.msgpack.encode(Failure(*(text.encode("utf-8", "backslashreplace").decode() for text in texts)))


def _rank(row: tuple[Any, ...]) -> int:
    return int(row[-2])


def _add(sum: Step | None, step: Step) -> Step:
    if sum is None:
        return step
    return Step(
        step.batch, sum.done + step.done, sum.failed + step.failed, sum.retried + step.retried, sum.total + step.total
    )


def _row(job: NewJob, now: float) -> tuple[object, ...]:
    failure = _encoded(job.failure)
    unique = None if job.dead else job.unique
    # fmt: off
    return (
        job.id, job.queue, job.priority, job.task, job.payload, job.options, job.attempt, job.batch, job.items,
        job.packed, job.item, unique, job.at_most_once, job.run_at, now, failure,
    )
    # fmt: on


def _lease(row: tuple[Any, ...], queue: str, claim: int) -> Lease:
    seq, id, task, payload, priority, attempt, crashes, options, batch, items, packed, item, at_most_once, _, _ = row
    return Lease(
        id, seq, claim, task, payload, queue, priority, attempt, crashes, options, batch, items, bool(packed), item,
        bool(at_most_once),
    )  # fmt: skip
