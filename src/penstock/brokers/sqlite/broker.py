"""The embedded broker: a queue in one SQLite file, shared by any number of processes of one machine.

Where a job stands is told by the one table that holds its seq: ready, running, delayed, parked or ended. Writers take
turns by a kernel file lock, and each exchange is one transaction: endings are fenced by `(seq, claim)`, where the
claim number is never given twice.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import ClassVar

import msgspec

from penstock.brokers.base import COUNTED, Backlog, Exchange, Feature, WorkerInfo
from penstock.brokers.listener import Listener
from penstock.brokers.sqlite.endings import Endings
from penstock.brokers.sqlite.ends import Ends
from penstock.brokers.sqlite.moves import Moves
from penstock.brokers.sqlite.pruning import prune
from penstock.brokers.sqlite.sides import Sides
from penstock.brokers.sqlite.taken import leases, read
from penstock.brokers.sqlite.topics import Topics
from penstock.core import limiter
from penstock.core.job import Holder, Lease, NewJob, due_at
from penstock.core.limiter import Limit
from penstock.core.metrics import Point
from penstock.core.outcome import Outcome, ended
from penstock.core.topics import Event, Subscription
from penstock.errors import ConfigError
from penstock.stores import doorbell, sqlite
from penstock.stores.migrate import migrate
from penstock.stores.statements import Statements

#: Lines of jobs behind a limit that `backlog` looks at.
_LINES = 100
#: Jobs that are stored at once, from which on that is much.
_MANY = 100


class SqliteBroker(Sides):
    """A queue in a file: `sqlite:///jobs.db?durability=full&namespace=penstock`."""

    features: ClassVar[frozenset[Feature]] = frozenset(Feature)
    can_be_away: ClassVar[bool] = False
    tells_within: ClassVar[bool] = False

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
        self._ends = Ends(parsed.path)
        self._moves = Moves(self._sql)
        self._topics = Topics(self._sql)
        self._looked_at = 0.0
        # Where no commit waits for the disk a short log spares nobody a wait: to fold it back is the only one.
        self._log = sqlite.SHORT_LOG if self._durability == "full" else sqlite.LONG_LOG

    def open(self) -> None:
        """See `Broker.open`."""
        if self._connection is None:
            self._connection = sqlite.connect(self._path, durability=self._durability, log=self._log)
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

    def enqueue(self, jobs: Sequence[NewJob], *, now: float | None = None, tx: object | None = None) -> list[bytes]:
        """See `Broker.enqueue`; `tx` is a `sqlite3.Connection` to the same file."""
        now = time.time() if now is None else now
        if tx is not None:
            with sqlite.translating(self._path):
                return self._moves.enqueue(self._joined(tx), jobs, now)[0]
        if len(jobs) >= _MANY:
            self._lengthen_log()
        with self._transaction() as connection:
            ids, listeners = self._moves.enqueue(connection, jobs, now)
        if listeners:
            self._ring(listeners, ready=all(job.gate is None and due_at(job, now) is None for job in jobs))
        return ids

    def exchange(
        self,
        outcomes: Sequence[Outcome],
        queues: Sequence[str],
        limit: int,
        holder: Holder,
        *,
        now: float | None = None,
        tx: object | None = None,
    ) -> Exchange:
        """See `Broker.exchange`; `tx` is a `sqlite3.Connection` to the same file."""
        if tx is not None:
            return self._end_within(self._joined(tx), outcomes, now)
        now = time.time() if now is None else now
        if not outcomes and not self._any_ready(queues, limit, now):
            return Exchange([], [])
        self._lengthen_log()
        endings = Endings(outcomes, now)
        with self._transaction() as connection:
            good, stale = self._moves.fence(connection, endings)
            opened, settled = self._moves.apply(connection, good)
            taken = self._moves.claim(connection, queues if limit > 0 else (), limit, holder, now)
            # Who found a key held, and is idle, has not heard of what waits behind it.
            news = settled.started or good.makes_work or (opened and len(taken.seqs) >= limit)
            listeners = self._moves.listeners(connection) if news else []
        self._ring(listeners)
        if good.outcomes and self._ends.is_watched():
            self._ends.tell(() if settled.stopped else ended(good.outcomes))
        # After the commit, so that others can write meanwhile: half of what a claim costs is to read what was taken.
        with sqlite.translating(self._path):
            return Exchange(read(self._open, self._sql, taken), stale)

    def _lengthen_log(self) -> None:
        """From now on much is written through this connection."""
        if self._log != sqlite.LONG_LOG:
            self._log = sqlite.LONG_LOG
            with sqlite.translating(self._path):
                sqlite.keep_log(self._open, self._log)

    def _end_within(self, tx: sqlite3.Connection, outcomes: Sequence[Outcome], now: float | None) -> Exchange:
        with sqlite.translating(self._path):
            good, stale = self._moves.fence_each(tx, Endings(outcomes, time.time() if now is None else now))
            self._moves.apply(tx, good)
        return Exchange([], stale)

    def _any_ready(self, queues: Sequence[str], limit: int, now: float) -> bool:
        """Look without locking: an idle worker's polls should cost no write."""
        if limit <= 0:
            return False
        with sqlite.translating(self._path):
            return any(self._open.execute(self._sql["any_ready"], (queue, now)).fetchone() for queue in queues)

    def abandon(self, holder: Holder, crashed: Sequence[bytes] = ()) -> int:
        """See `Broker.abandon`."""
        with self._transaction() as connection:
            row = connection.execute(self._sql["holder_key"], (holder.worker, holder.process)).fetchone()
            held = 0 if row is None else self._moves.give_back(connection, row[0], frozenset(crashed), time.time())
            listeners = self._moves.listeners(connection) if held else []
        self._ring(listeners)
        return held

    def purge(self, queue: str) -> int:
        """See `Broker.purge`."""
        return self.inspector().purge(queue)

    def heartbeat(self, worker: WorkerInfo, *, now: float | None = None) -> None:
        """See `Broker.heartbeat`; `now` is on the machine's monotonic clock, which no one can set."""
        now = time.monotonic() if now is None else now
        with self._transaction() as connection:
            connection.execute(self._sql["beat"], (worker.id, msgspec.msgpack.encode(worker), now, self._bell.name))

    def depart(self, worker: str) -> None:
        """See `Broker.depart`."""
        with self._transaction() as connection:
            self._moves.forget_worker(connection, worker)

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
            rescued = sum(self._moves.give_back(connection, key, frozenset(), time.time()) for (key,) in orphans)
            rescued += sum(self._moves.forget_worker(connection, worker) for worker in dead)
            listeners = self._moves.listeners(connection) if rescued else []
        self._ring(listeners)
        for socket in dead.values():
            self._bell.remove(socket)
        return rescued

    def promote(self, *, now: float | None = None, limit: int = 10_000) -> float | None:
        """See `Broker.promote`."""
        now = time.time() if now is None else now
        following = self._open_lines(now)
        while True:
            with sqlite.translating(self._path):
                row = self._open.execute(self._sql["next_due"]).fetchone()
            if row is None or row[0] > now:
                waits = [wait for wait in (following, None if row is None else float(row[0]) - now) if wait is not None]
                return min(waits, default=None)
            with self._transaction() as connection:
                keys, _ = connection.execute(self._sql["due"], (now, limit)).fetchone()
                connection.execute(self._sql["undelay_due"], (keys, now))
                self._moves.to_the_back(connection, keys, now)
                listeners = self._moves.listeners(connection)
            self._ring(listeners)

    def held(self, holder: Holder) -> list[Lease]:
        """See `Broker.held`."""
        with sqlite.translating(self._path):
            row = self._open.execute(self._sql["holder_key"], (holder.worker, holder.process)).fetchone()
            rows = [] if row is None else self._open.execute(self._sql["leases_of"], row[:1]).fetchall()
        found = leases(rows)
        self._moves.gates.seen |= any(lease.gate is not None for lease in found)
        return found

    def cancelled(self, worker: str) -> list[tuple[int, bytes]]:
        """See `Broker.cancelled`."""
        with sqlite.translating(self._path):
            return self._open.execute(self._sql["cancelled"], (worker,)).fetchall()

    def backlog(self, queues: Sequence[str], *, now: float | None = None, most: int = COUNTED) -> Backlog:
        """See `Broker.backlog`."""
        now = time.time() if now is None else now
        with sqlite.translating(self._path):
            names = self._open.execute(self._sql["lines_open"], (json.dumps(list(queues)), now, _LINES)).fetchall()
            named = json.dumps([name for (name,) in names])
            (ready,) = self._open.execute(self._sql["backlog"], (named, most)).fetchone()
            (since,) = self._open.execute(self._sql["oldest_ready"], (named,)).fetchone()
        if since is None:
            return Backlog()
        return Backlog(ready, max(0.0, now - since))

    def _open_lines(self, now: float) -> float | None:
        """Wake the workers where a limit lets more jobs start since the last look; returns in how many seconds to look again."""
        if now < self._looked_at:
            # The clock was set back: what was noted for later would be long in coming.
            with self._transaction() as connection:
                connection.execute(self._sql["lines_all_due"])
            self._looked_at = 0.0
        with sqlite.translating(self._path):
            found = self._open.execute(self._sql["lines_between"], (self._looked_at, now)).fetchone()
            next_in, fell_due, is_due = found
            listeners = self._moves.listeners(self._open) if fell_due else []
        self._looked_at = now
        self._ring(listeners)
        return limiter.look_again(next_in, fell_due=bool(fell_due), is_due=bool(is_due))

    def declare(self, limits: Mapping[str, Limit | None]) -> None:
        """See `Broker.declare`."""
        gates = self._moves.gates
        with sqlite.translating(self._path):
            known = gates.limits(self._open)
        # The order of jobs is kept by their gates' names: what is ordered has no other limit.
        wanted = {name: None if limit is None or limit.ordered else limit for name, limit in limits.items()}
        changed = {name: limit for name, limit in wanted.items() if known.get(name) != limit}
        if not changed:
            return
        with self._transaction() as connection:
            gates.declare(connection, changed)
            listeners = self._moves.listeners(connection)
        self._ring(listeners)

    def subscribe(self, subscriptions: Sequence[Subscription]) -> None:
        """See `Broker.subscribe`."""
        with self._transaction() as connection:
            self._topics.subscribe(connection, subscriptions)

    def unsubscribe(self, subscriptions: Sequence[Subscription]) -> int:
        """See `Broker.unsubscribe`."""
        with self._transaction() as connection:
            return self._topics.unsubscribe(connection, subscriptions)

    def subscriptions(self) -> list[Subscription]:
        """See `Broker.subscriptions`."""
        with sqlite.translating(self._path):
            return self._topics.subscriptions(self._open)

    def publish(self, events: Sequence[Event], *, now: float | None = None, tx: object | None = None) -> list[int]:
        """See `Broker.publish`; `tx` is a `sqlite3.Connection` to the same file."""
        now = time.time() if now is None else now
        with sqlite.translating(self._path):
            router = self._topics.router(self._open if tx is None else self._joined(tx))
            out = router.fan_out(events)
            if tx is not None and out.jobs:
                self._moves.enqueue(self._joined(tx), out.jobs, now)
        # What nobody wants takes no turn at the file.
        if tx is not None or not out.jobs:
            return out.groups
        with self._transaction() as connection:
            current = self._topics.router(connection)
            if current is not router:
                out = current.fan_out(events)
            _, listeners = self._moves.enqueue(connection, out.jobs, now)
        self._ring(listeners)
        return out.groups

    def record(self, worker: str, span: int, number: int, point: Point, *, now: float | None = None) -> bool:
        """See `Broker.record`."""
        values = worker, span, number, time.time() if now is None else now, msgspec.msgpack.encode(point)
        with self._transaction() as connection:
            connection.execute(self._sql["record_metrics"], values)
        return True

    def unpark(self, tasks: Sequence[str]) -> int:
        """See `Broker.unpark`."""
        names = json.dumps(list(tasks))
        with sqlite.translating(self._path):
            count: int = self._open.execute(self._sql["parked_of"], (names,)).fetchone()[1]
        if count:
            with self._transaction() as connection:
                keys, count = connection.execute(self._sql["parked_of"], (names,)).fetchone()
                connection.execute(self._sql["unpark"], (names,))
                self._moves.release(connection, keys)
                listeners = self._moves.listeners(connection)
            self._ring(listeners)
        return count

    def prune(self, *, now: float | None = None) -> int:
        """See `Broker.prune`."""
        now = time.time() if now is None else now
        with self._transaction() as connection:
            return prune(connection, self._sql, self._moves.flows, now)

    def depth(self, queue: str) -> int:
        """See `Broker.depth`."""
        with sqlite.translating(self._path):
            return int(self._open.execute(self._sql["depth"], (queue,)).fetchone()[0])

    def listen(self, listener: Listener) -> AbstractContextManager[None]:
        """See `Broker.listen`: a Unix datagram socket beside the file."""
        return self._bell.listening(listener.wake, listener.ready, leaving=lambda: listener.leaving)

    def watch_ends(self, tell: Callable[[Sequence[bytes]], None]) -> AbstractContextManager[bool]:
        """See `Broker.watch_ends`: a Unix datagram socket in a folder beside the file."""
        return self._ends.watching(tell)

    def tell_ended(self, ids: Sequence[bytes]) -> None:
        """See `Broker.tell_ended`."""
        self._ends.tell(ids)
