"""The gates of a SQLite queue: claims where something is limited; each inside a transaction that its caller has begun."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from penstock.core import limiter
from penstock.core.job import Lease, NewJob
from penstock.core.limiter import Limit, OpenGate
from penstock.core.outcome import Ending, Outcome
from penstock.core.shipment import MovedJob
from penstock.core.standing import GateState, gate_state
from penstock.stores.statements import Statements

#: Lines of a queue that one claim looks at.
_LINES = 32
#: When a line is due that is to be looked at by the next claim, whatever clock that goes by.
_NOW = 0.0

#: Takes up to so many jobs of a stored queue name, marked with a gate and a limited queue: returns their seqs.
Take = Callable[[str, int, str | None, str | None], list[int]]


class Source(NamedTuple):
    """Where a claim may take from: a queue, or a line of it."""

    name: str
    queue: str
    gate: str | None


class Gates:
    """Limits, lines and gates, by the statements of one namespace."""

    def __init__(self, sql: Statements) -> None:
        self._sql = sql
        #: Queues that were seen to be limited.
        self._limited: frozenset[str] = frozenset()
        #: Whether this connection has had to do with anything limited.
        self.seen = False

    def declare(self, connection: sqlite3.Connection, limits: Mapping[str, Limit | None]) -> None:
        """Set limits, and lift those that are None."""
        for name, limit in limits.items():
            # A limit that has changed starts anew: what was paid for by the old one says nothing.
            connection.execute(self._sql["gate_forget"], (name,))
            if limit is None:
                connection.execute(self._sql["limit_drop"], (name,))
            else:
                connection.execute(self._sql["limit_set"], (name, msgspec.msgpack.encode(limit)))
        connection.execute(self._sql["lines_all_due"])

    def limits(self, connection: sqlite3.Connection) -> dict[str, Limit]:
        """Every limit there is."""
        rows = connection.execute(self._sql["limits"]).fetchall()
        return {name: msgspec.msgpack.decode(terms, type=Limit) for name, terms in rows}

    def stored(self, connection: sqlite3.Connection, jobs: Iterable[NewJob | MovedJob]) -> None:
        """Jobs have come: know their lines."""
        for queue, gate in dict.fromkeys((job.queue, job.gate) for job in jobs if job.gate is not None):
            if limiter.is_ordered(gate):
                continue
            name = limiter.line(queue, gate)
            connection.execute(self._sql["line_add"], (name, queue, gate))

    def back(self, connection: sqlite3.Connection, keys: str) -> None:
        """Jobs are ready again: look at their lines. `keys` is a JSON array of their seqs."""
        for (name,) in connection.execute(self._sql["lines_of"], (keys,)).fetchall():
            gate = limiter.gate_of(name)
            if not limiter.is_ordered(gate):
                connection.execute(self._sql["line_look"], (name, limiter.queue_of(name), gate, _NOW))

    def open(self, connection: sqlite3.Connection, gates: Iterable[str | None], when: float = _NOW) -> None:
        """Places have become free: look at the lines before these gates."""
        for gate in dict.fromkeys(gates):
            if gate is not None:
                statement, name = ("queue_open", gate[1:]) if gate.startswith(",") else ("gate_open", gate)
                connection.execute(self._sql[statement], (name, when))

    def ended(self, connection: sqlite3.Connection, outcomes: Sequence[Outcome], now: float) -> None:
        """Jobs have ended or came back. Those that did not run at all are not counted against their rate."""
        if not self.seen:
            return
        limited = [one for one in outcomes if one.lease.gate is not None or one.lease.queue in self._limited]
        if not limited:
            return
        gates: dict[str, int] = {}
        for outcome in limited:
            for gate in _gates(outcome.lease, self._limited):
                if limiter.is_ordered(gate):
                    continue
                gates[gate] = gates.get(gate, 0) + (outcome.ending is Ending.RELEASED)
        if any(gates.values()):
            limits = self.limits(connection)
            for gate, unrun in gates.items():
                limit = limits.get(limiter.limit_name(gate))
                if unrun and limit is not None and limit.every is not None:
                    connection.execute(self._sql["gate_refund"], (gate, unrun * limit.every))
        self.open(connection, gates, now)

    def claim(
        self,
        connection: sqlite3.Connection,
        queues: Sequence[str],
        most: int,
        take: Take,
        now: float,
        *,
        lines_first: bool,
    ) -> list[int]:
        """Take from queues and their lines what may start; returns the seqs.

        Parameters:
            lines_first: queues and lines take turns, so that neither is held up by the other.
        """
        self.seen = True
        limits = self.limits(connection)
        self._limited = frozenset(queue for queue in queues if limiter.queue_gate(queue) in limits)
        taken: list[int] = []
        for source in self._sources(connection, queues, now, lines_first=lines_first):
            taken += self._take(connection, source, limits, most - len(taken), take, now)
            if len(taken) >= most:
                break
        return taken

    def _sources(
        self, connection: sqlite3.Connection, queues: Sequence[str], now: float, *, lines_first: bool
    ) -> list[Source]:
        plain = [Source(queue, queue, None) for queue in queues]
        lines: list[tuple[float, Source]] = []
        for queue in queues:
            for name, gate, due in connection.execute(self._sql["lines_due"], (queue, now, _LINES)).fetchall():
                if name != queue:
                    lines.append((due, Source(name, queue, gate)))
        # Whoever has waited longest for a look comes first, so that among many keys none is left out.
        waiting = [source for _, source in sorted(lines, key=lambda line: line[0])]
        return [*waiting, *plain] if lines_first else [*plain, *waiting]

    def _take(
        self,
        connection: sqlite3.Connection,
        source: Source,
        limits: Mapping[str, Limit],
        most: int,
        take: Take,
        now: float,
    ) -> list[int]:
        """Take what may start from one source, and note when it is to be looked at next."""
        names = [gate for gate in (source.gate, limiter.queue_gate(source.queue)) if gate is not None]
        gates = {
            name: self._gate(connection, name, limit, now)
            for name in names
            if (limit := limits.get(limiter.limit_name(name))) is not None
        }
        allowed = min([most, *(gate.room(now) for gate in gates.values())])
        taken: list[int] = []
        if allowed > 0:
            queue = source.queue if limiter.queue_gate(source.queue) in gates else None
            taken = take(source.name, allowed, source.gate if source.gate in gates else None, queue)
        for name, gate in gates.items():
            gate.passed(len(taken), now)
            if gate.limit.rate is not None:
                connection.execute(self._sql["gate_pay"], (name, gate.paid_until))
        if source.gate is not None or gates:
            closed = max((gate.closed_until(now) for gate in gates.values()), default=now)
            empty = len(taken) < allowed
            self._look(connection, source, closed, forget=empty or (source.gate is None and closed <= now))
        return taken

    def _look(self, connection: sqlite3.Connection, source: Source, due: float, *, forget: bool) -> None:
        """Note when a source is to be looked at next: a queue that is open is looked at anyway, and an empty line never."""
        if forget:
            connection.execute(self._sql["line_forget"], (source.name,))
        else:
            gate = source.gate or limiter.queue_gate(source.queue)
            connection.execute(self._sql["line_look"], (source.name, source.queue, gate, due))

    def states(self, connection: sqlite3.Connection, names: Iterable[str], now: float) -> tuple[GateState, ...]:
        """How gates stand at which a limit holds."""
        limits = self.limits(connection)
        known = {name: limit for name in names if (limit := limits.get(limiter.limit_name(name))) is not None}
        return tuple(gate_state(name, self._gate(connection, name, limit, now), now) for name, limit in known.items())

    def _gate(self, connection: sqlite3.Connection, name: str, limit: Limit, now: float) -> OpenGate:
        running = paid_until = None
        if limit.concurrency is not None:
            statement, key = ("running_of_queue", name[1:]) if name.startswith(",") else ("running_of_gate", name)
            running = connection.execute(self._sql[statement], (key,)).fetchone()
        if limit.rate is not None:
            paid_until = connection.execute(self._sql["gate_state"], (name,)).fetchone()
        return OpenGate(limit, paid_until[0] if paid_until else 0.0, running[0] if running else 0, now)


def _gates(lease: Lease, limited: frozenset[str]) -> list[str]:
    """The gates that a job has passed."""
    gates = [] if lease.gate is None else [lease.gate]
    return [*gates, limiter.queue_gate(lease.queue)] if lease.queue in limited else gates
