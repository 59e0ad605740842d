"""Schedules on their way from one store to another: each starts its runs at one of them, whatever happens to whoever moves them.

A schedule arrives asleep: it is not to be looked at. Then it leaves, and then it is woken. Whoever comes after somebody who was killed finds those that
are asleep, and goes on with them. Until then they are shown by both stores, or by the new one, and start nothing there.
"""

from __future__ import annotations

from msgspec.structs import replace

from penstock.brokers.schedules import ABSENT, Change, Row, ScheduleStore, new_version
from penstock.core.schedule import Entry, begin, encode_entry, readable_entry
from penstock.errors import StoreUnavailable

#: Tries of a change that others were faster with.
_TRIES = 50


class Relocation:
    """Moves all schedules; may be repeated, and be done by several at once.

    Parameters:
        source, destination: made by `Broker.schedules`.
    """

    def __init__(self, source: ScheduleStore, destination: ScheduleStore) -> None:
        self._source = source
        self._destination = destination

    def run(self, *, now: float | None = None) -> int:
        """Move those that there are, and wake those that an earlier move left asleep; returns how many have left.

        Where the destination has one of the same name, as its workers declare it, that one stays, and takes over a pause and what was changed at
        run time; no due time that had its run has another.
        """
        left = sum(self._move(row, now) for row in self._source.read())
        self._wake(now)
        return left

    def _move(self, row: Row, now: float | None) -> int:
        for _ in range(_TRIES):
            if any(one.version == row.version for one in self._destination.read([row.name])):
                # No two rows have one version: both are one store, that of RabbitMQ's backend say, and it is there already.
                return 0
            if not self._arrive(row, now):
                continue
            if self._source.change([Change(row.name, row.version, None)], now=now) == [True]:
                return 1
            # A run has come due meanwhile, or somebody has changed it; or it was another who had it leave.
            found = self._source.read([row.name])
            if not found:
                return 0
            row = found[0]
        raise StoreUnavailable(f"others kept changing the schedule {row.name!r}: try again")

    def _arrive(self, row: Row, now: float | None) -> bool:
        """Put a schedule into the destination; returns whether nobody was faster."""
        found = self._destination.read([row.name])
        there = found[0] if found else None
        if there is None or _sleeps(there):
            made = Row(row.name, new_version(), None if readable_entry(row.body) else row.next_at, row.body)
        else:
            ours, theirs = readable_entry(row.body), readable_entry(there.body)
            if ours is None or theirs is None:
                return True
            joined = _joined(theirs, ours, self._destination.due(0, now=now).now)
            if joined == theirs:
                return True
            made = Row(row.name, new_version(), joined.next_at, encode_entry(joined))
        before = ABSENT if there is None else there.version
        return self._destination.change([Change(row.name, before, made)], now=now) == [True]

    def _wake(self, now: float | None) -> None:
        """Have those go on that are asleep, and have left."""
        asleep = {row.name: row for row in self._destination.read() if _sleeps(row)}
        staying = {row.name for row in self._source.read(list(asleep))} if asleep else set[str]()
        changes: list[Change] = []
        for row in asleep.values():
            entry = readable_entry(row.body)
            if entry is not None and row.name not in staying:
                changes.append(Change(row.name, row.version, Row(row.name, new_version(), entry.next_at, row.body)))
        if changes:
            self._destination.change(changes, now=now)


def _sleeps(row: Row) -> bool:
    entry = readable_entry(row.body)
    return row.next_at is None and entry is not None and entry.next_at is not None


def _joined(theirs: Entry, ours: Entry, now: float) -> Entry:
    """What the destination's entry becomes when the source's arrives."""
    joined = replace(theirs, paused=theirs.paused or ours.paused, declared=theirs.declared or ours.declared)
    if ours.changed and not theirs.changed:
        joined = replace(joined, schedule=ours.schedule, due=ours.due, changed=True)
    last = max((one.last for one in (theirs, ours) if one.last is not None), default=None)
    joined = replace(joined, last=last)
    return begin(joined, now) if joined.due is not None and last is not None and joined.due <= last else joined
