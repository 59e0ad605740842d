"""The gates of a PostgreSQL queue: claims where something is limited, inside the transaction of an exchange."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from penstock.brokers.postgres.arrays import Array
from penstock.brokers.postgres.link import Link, Session
from penstock.core import limiter
from penstock.core.job import Lease, NewJob
from penstock.core.limiter import Limit, OpenGate
from penstock.core.outcome import Ending, Outcome
from penstock.errors import StoreError

#: Lines that one claim looks at.
_LINES = 32
#: Seconds for which a store where nothing is limited is taken to stay so. Whoever sets a limit, or meets one, knows at once.
_UNLIMITED = 1.0
#: Seconds until a line is looked at again that was empty: only what was added by a transaction that could not note it
#: waits for so long.
_EMPTY = 5.0

#: Takes up to so many jobs of each of some stored queue names.
Take = Callable[[Mapping[str, int]], list[Lease]]
#: A source, when to look at it again (None: there is no need to), and since when it has been empty.
Note = tuple["Source", float | None, float | None]


class Source(NamedTuple):
    """Where a claim may take from: a queue, or a line of it that has been empty since a time or is not known to be."""

    name: str
    queue: str
    gate: str | None
    idle_since: float | None = None


class View(NamedTuple):
    """What is limited or keeps an order, as a claim finds it at a time of the server's clock."""

    now: float
    limits: dict[str, Limit]
    lines: list[Source]
    ordered: bool
    concerned: bool


class Gates:
    """What one connection knows of limits."""

    def __init__(self) -> None:
        self._turn = 0
        self._ask_at = 0.0
        self._maybe = False
        #: Whether jobs may keep an order; those of a task of this worker's own are expected at any time.
        self._ordered = False
        self._own_order = False
        #: Where to go on among the lines of each queue that keep an order, and whether others were quicker at the last claim.
        self._after: dict[str, str] = {}
        self.lost = False
        #: Every limit there is, as of the last look.
        self.limits: dict[str, Limit] = {}
        self._decoded: dict[bytes, Limit] = {}

    def may_limit(self, link: Link, clock: float) -> bool:
        """May anything be limited? Asked of the store about once a second; `clock` is monotonic."""
        if clock >= self._ask_at:
            self._ask(link, clock)
        return self._maybe or self._ordered or self._own_order

    def ask_ahead(self, link: Link, clock: float) -> None:
        """Ask already where it will soon be time: nothing was taken now, and the next claim is one that a job waits for."""
        if clock >= self._ask_at - _UNLIMITED / 2:
            with suppress(StoreError):  # the next exchange will meet it, and this one is done
                self._ask(link, clock)

    def _ask(self, link: Link, clock: float) -> None:
        self._maybe, self._ordered = link.run("limited")[0]
        self._ask_at = clock + _UNLIMITED

    def met(self, jobs: Iterable[NewJob] = ()) -> None:
        """Something is limited, or keeps an order."""
        self._maybe = True
        self._ordered = self._ordered or any(limiter.is_ordered(job.gate) for job in jobs)

    def declared(self, limits: Iterable[Limit | None]) -> None:
        """Tasks of this worker have these limits."""
        for limit in limits:
            self._maybe = self._maybe or limit is not None
            self._own_order = self._own_order or (limit is not None and limit.ordered)

    def after(self, queues: Iterable[str]) -> list[str]:
        """The names of the lines after which to go on, for a claim."""
        self.lost = False
        return [self._after.get(queue, "") for queue in queues]

    def went_on(self, line: str, *, lost: bool) -> None:
        """How far a claim went; `lost` says that others took what it had chosen."""
        self._after[limiter.queue_of(line)] = line
        self.lost = lost

    def view(self, link: Link, queues: Sequence[str], at: float | None) -> View:
        """What concerns these queues."""
        (now, *_), *rows = link.run("limits", queues=Array("text", queues), at=at, most=_LINES)
        self.limits = {name: self._limit(terms) for _, name, terms, *_ in rows if terms is not None}
        lines = [Source(name, queue, gate, idle) for _, name, terms, queue, gate, idle in rows if terms is None]
        ordered = self._ordered or self._own_order
        concerned = bool(lines) or ordered or any(limiter.queue_gate(queue) in self.limits for queue in queues)
        return View(float(now), self.limits, lines, ordered, concerned)

    def _limit(self, terms: bytes) -> Limit:
        if terms not in self._decoded:
            self._decoded[terms] = msgspec.msgpack.decode(terms, type=Limit)
        return self._decoded[terms]

    def _passed_by(self, lease: Lease) -> list[str]:
        """The gates that a job has passed, as far as this connection knows."""
        gates = [] if lease.gate is None or limiter.is_ordered(lease.gate) else [lease.gate]
        return [*gates, limiter.queue_gate(lease.queue)] if limiter.queue_gate(lease.queue) in self.limits else gates

    def limited(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """Those whose jobs have passed a gate, as far as this connection knows."""
        if self.limits:
            return [outcome for outcome in outcomes if self._passed_by(outcome.lease)]
        return [outcome for outcome in outcomes if outcome.lease.gate is not None]

    def ended(self, session: Session | Link, outcomes: Sequence[Outcome], now: float | None) -> None:
        """Jobs have ended, or came back. Those that did not run at all are not counted against their rate."""
        outcomes = self.limited(outcomes)
        if not outcomes:
            return
        names = self._ended_lines(outcomes)
        refunds = self._refunds(outcomes)
        if refunds:
            seconds = Array("float8", [count * (self._every(gate) or 0.0) for gate, count in refunds.items()])
            session.run("refund", gates=Array("text", list(refunds)), seconds=seconds)
        session.run("look", names=Array("text", names), due=now)

    def _ended_lines(self, outcomes: Iterable[Outcome]) -> list[str]:
        leases = [outcome.lease for outcome in outcomes]
        # What keeps its order is listed nowhere; its queue may be.
        names = (
            lease.queue if limiter.is_ordered(lease.gate) else limiter.line(lease.queue, lease.gate) for lease in leases
        )
        return list(dict.fromkeys(names))

    def _refunds(self, outcomes: Iterable[Outcome]) -> dict[str, int]:
        """How many jobs each gate let through that did not start."""
        unrun: dict[str, int] = {}
        for outcome in outcomes:
            if outcome.ending is Ending.RELEASED:
                for gate in self._passed_by(outcome.lease):
                    if self._every(gate) is not None:
                        unrun[gate] = unrun.get(gate, 0) + 1
        return unrun

    def _every(self, gate: str) -> float | None:
        limit = self.limits.get(limiter.limit_name(gate))
        return None if limit is None else limit.every

    def claim(
        self, session: Session, view: View, ended: Sequence[Outcome], queues: Sequence[str], most: int, take: Take
    ) -> list[Lease]:
        """Take from queues and their lines what may start, and note what became of the gates.

        Parameters:
            ended: outcomes that were handed in by the same transaction.
        """
        self._turn += 1
        ended = self.limited(ended)
        sources = self._sources(view, ended, queues, lines_first=self._turn % 2 == 0)
        gates = self._lock(session, view, sources, ended)
        for name, unrun in self._refunds(ended).items():
            if name in gates:
                gates[name].passed(-unrun, view.now)
                gates[name].running += unrun  # these were counted when they had ended
        taken: list[Lease] = []
        notes: list[Note] = []
        while sources and len(taken) < most:
            asked = self._allot(sources, gates, most - len(taken), view.now)
            wanted = {source.name: count for source, count in asked.items() if count > 0}
            rows = take(wanted) if wanted else []
            got = Counter(map(_taken_from, rows))
            for source, count in asked.items():
                kept = [gates[name] for name in _before(source) if name in gates]
                for gate in kept:
                    gate.passed(got[source.name] - count, view.now)
                if source.gate is not None or (kept and source.name == source.queue):
                    notes.append(_note(source, kept, view.now, empty=got[source.name] < count))
            taken += rows
            sources = sources[len(asked) :]
        self._write(session, gates, notes, self._ended_lines(ended), view.now)
        return taken

    def _allot(
        self, sources: Sequence[Source], gates: Mapping[str, OpenGate], most: int, now: float
    ) -> dict[Source, int]:
        """How many to ask of each of the sources that come first, as if all of them had as many.

        A second source behind the same gate waits until it is known what the first one had.
        """
        asked: dict[Source, int] = {}
        used: set[str] = set()
        for source in sources:
            names = [name for name in _before(source) if name in gates]
            if most <= 0 or not used.isdisjoint(names):
                break
            used.update(names)
            asked[source] = max(0, min([most, *(gates[name].room(now) for name in names)]))
            for name in names:
                gates[name].passed(asked[source], now)
            most -= asked[source]
        return asked

    def _sources(
        self, view: View, ended: Sequence[Outcome], queues: Sequence[str], *, lines_first: bool
    ) -> list[Source]:
        plain = [Source(queue, queue, None) for queue in queues]
        if view.ordered:
            keyed = [Source(all_ordered(queue), queue, None) for queue in queues]
            plain = [*keyed, *plain] if self._turn // 2 % 2 else [*plain, *keyed]
        # Those that have waited longest for a look come first, so that among many keys none is left out.
        lines = {line.name: line for line in view.lines}
        for lease in (outcome.lease for outcome in ended):
            if lease.gate is not None and not limiter.is_ordered(lease.gate) and lease.queue in queues:
                name = limiter.line(lease.queue, lease.gate)
                lines.setdefault(name, Source(name, lease.queue, lease.gate))
        return [*lines.values(), *plain] if lines_first else [*plain, *lines.values()]

    def _lock(
        self, session: Session, view: View, sources: Sequence[Source], ended: Sequence[Outcome]
    ) -> dict[str, OpenGate]:
        wanted = {name for source in sources for name in _before(source)}
        wanted |= set(self._refunds(ended))
        limited = {name: limit for name in wanted if (limit := view.limits.get(limiter.limit_name(name))) is not None}
        if not limited:
            return {}
        rows = session.run("lock_gates", names=Array("text", sorted(limited)))
        return {name: OpenGate(limited[name], paid_until, running, view.now) for name, paid_until, running in rows}

    def _write(
        self,
        session: Session,
        gates: Mapping[str, OpenGate],
        notes: Sequence[Note],
        ended: Sequence[str],
        now: float,
    ) -> None:
        if not (gates or notes or any(limiter.gate_of(name) is not None for name in ended)):
            return
        before = [source.gate or limiter.queue_gate(source.queue) for source, _, _ in notes]
        paced = {name: gate for name, gate in gates.items() if gate.limit.rate is not None}
        session.run(
            "note_gates",
            gates=Array("text", list(paced)),
            paid_until=Array("float8", [gate.paid_until for gate in paced.values()]),
            names=Array("text", [source.name for source, _, _ in notes]),
            queues=Array("text", [source.queue for source, _, _ in notes]),
            before=Array("text", before),
            dues=Array("float8", [due for _, due, _ in notes]),
            idle=Array("float8", [idle for _, _, idle in notes]),
            ended=Array("text", ended),
            now=now,
        )


def _before(source: Source) -> list[str]:
    """The gates before which a source is."""
    own = [] if source.gate is None else [source.gate]
    return [*own, limiter.queue_gate(source.queue)]


def _note(source: Source, kept: Sequence[OpenGate], now: float, *, empty: bool) -> Note:
    """When to look at a source again, and since when it has been empty; None for a queue, which is looked at anyway."""
    closed = max((gate.closed_until(now) for gate in kept), default=now)
    if source.gate is None:
        return source, None if empty or closed <= now else closed, None
    if not empty:
        return source, closed, None
    since = now if source.idle_since is None else source.idle_since
    return source, now + _EMPTY + 4 * max(0.0, now - since), since


def all_ordered(queue: str) -> str:
    """What all lines of a queue that keep an order are called together."""
    return limiter.line(queue, limiter.gate("", ordered=True))


def _taken_from(lease: Lease) -> str:
    """The source of a job."""
    return all_ordered(lease.queue) if limiter.is_ordered(lease.gate) else limiter.line(lease.queue, lease.gate)


def lines_of(jobs: Iterable[NewJob]) -> list[str]:
    """The lines that jobs wait in, but for those that keep an order, which are listed nowhere."""
    limited = (job for job in jobs if job.gate is not None and not limiter.is_ordered(job.gate))
    return list(dict.fromkeys(limiter.line(job.queue, job.gate) for job in limited))


def held_lines(outcomes: Iterable[Outcome]) -> dict[tuple[str, int], None]:
    """The lines that keep an order and are held by what has ended, each with the claim."""
    ordered = (outcome.lease for outcome in outcomes if outcome.lease.gate is not None)
    return dict.fromkeys(
        (limiter.line(lease.queue, lease.gate), lease.claim) for lease in ordered if limiter.is_ordered(lease.gate)
    )


def terms_of(limits: Mapping[str, Limit | None]) -> dict[str, Any]:
    """Limits as columns."""
    # The order of jobs is kept by their gates' names: what is ordered has no other limit.
    encoded = [None if limit is None or limit.ordered else msgspec.msgpack.encode(limit) for limit in limits.values()]
    return {"names": Array("text", list(limits)), "terms": Array("bytea", encoded)}
