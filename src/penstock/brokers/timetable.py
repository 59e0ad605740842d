"""What is done with the schedules that a store keeps: runs that are due become jobs, and people change what holds.

There is no leader. Every worker asks what is due, works out what comes next, and writes both in one step that succeeds for one of them only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec
from msgspec.structs import replace

from penstock.brokers.schedules import ABSENT, Begun, Change, Due, Row, ScheduleStore, new_version
from penstock.core.job import NewJob
from penstock.core.schedule import (
    Entry,
    Schedule,
    begin,
    decode_entry,
    encode_entry,
    plan,
    readable_entry,
    revise,
    run_of,
)
from penstock.errors import ConfigError, StoreUnavailable, UnknownSchedule

#: Schedules that the first transaction sees to, and the most: the first of many should not wait for the last, nor the last for what each transaction costs.
_TOGETHER = 100
_MOST_TOGETHER = 400
#: Runs of one schedule that are made up for at once.
_MADE_UP = 100
#: Transactions of one `fire`, so that a flood keeps no heartbeat waiting.
_ROUNDS = 50
#: Schedules that one transaction changes otherwise.
_SOME = 500
#: Seconds after which a schedule that could not be worked out here is looked at again, here or by another worker.
_LATER = 60.0
#: Seconds before runs are due in which they are worked out ahead: the least, as that takes time itself, and the most.
_AHEAD = (0.1, 0.8)
#: Seconds before in which the store is to begin them, too, at least: what takes longer would be late.
_BEGINS = 0.45
#: Schedules for which that is done, and seconds after which it must be done anew: what was missed meanwhile counts, too.
_MOST_AHEAD = 2000
_HOLDS = 1.0
#: Tries of a change that others were faster with.
_TRIES = 50


class Trouble(msgspec.Struct, frozen=True):
    """A schedule that could not be worked out, and why."""

    name: str
    reason: str


class Fired(msgspec.Struct, frozen=True):
    """What `fire` did: how many runs became jobs, and in how many seconds there is more to do; None where nothing is kept."""

    runs: int
    next_in: float | None
    troubles: tuple[Trouble, ...] = ()


class Timetable:
    """The schedules of a store.

    Parameters:
        store: made by `Broker.schedules`.
    """

    def __init__(self, store: ScheduleStore) -> None:
        self._store = store
        #: What is to be made of rows that are due next, by their names and versions, and when they are.
        self._ahead: dict[tuple[str, int], Change] = {}
        self._ahead_of = 0.0
        #: The same changes, where the store has begun them.
        self._begun: Begun | None = None
        # When they are due, on the monotonic clock.
        self._finish_at = 0.0

    @property
    def is_pressing(self) -> bool:
        """Is there something that was begun ahead, and is due by now?"""
        return self._begun is not None and time.monotonic() >= self._finish_at

    def fire(self, *, now: float | None = None) -> Fired:
        """Make jobs of the runs that are due, each once, however many do so at the same time.

        Parameters:
            now: in epoch seconds; the store's own time without.
        """
        runs, troubles, together = 0, list[Trouble](), _TOGETHER
        for _ in range(_ROUNDS):
            asked = time.monotonic()
            due = self._store.due(together, now=now)
            if finished := self._finish(due.now):
                # Those who are to run them should hear of it before anything else is asked.
                return Fired(runs + finished, 0.0, tuple(troubles))
            if not due.rows:
                self._work_ahead(due, asked)
                # That takes its time, and what comes next is not due later for it.
                passed = time.monotonic() - asked if now is None else 0.0
                return Fired(runs, _in_time(due.next_in, passed), tuple(troubles))
            ahead = self._ahead if due.now < self._ahead_of + _HOLDS else {}
            changes = [ahead.get((row.name, row.version)) or _fired(row, due.now, troubles) for row in due.rows]
            done = self._store.change(changes, now=now)
            made = sum(len(change.jobs) for change, made in zip(changes, done, strict=True) if made)
            runs += made
            # Where many runs of each are made up for, a transaction is large as it is.
            together = _TOGETHER if made > len(changes) else min(2 * together, _MOST_TOGETHER)
        return Fired(runs, 0.0, tuple(troubles))

    def _work_ahead(self, due: Due, asked: float) -> None:
        """Work out the runs that are due next, shortly before they are: then they have to be written only.

        A row that is changed in between has another version, and is worked out again.

        Parameters:
            asked: when the store was asked, on the monotonic clock.
        """
        if self._begun is not None or due.next_in is None or not _AHEAD[0] <= due.next_in <= _AHEAD[1]:
            return
        moment = due.now + due.next_in
        # Sums of such numbers are not exact.
        if abs(moment - self._ahead_of) < 0.001:
            return
        self._ahead_of = moment
        rows = self._store.due(_MOST_AHEAD, now=moment + 0.001).rows
        # What can't be worked out is told of when it is due.
        changes = [_fired(row, moment + 0.001, []) for row in rows]
        self._ahead = {(change.name, change.version): change for change in changes if change.jobs}
        if due.next_in >= _BEGINS:
            self._begun = self._store.begin(list(self._ahead.values()), now=moment)
            self._finish_at = asked + due.next_in

    def _finish(self, now: float) -> int:
        """Have what was begun ahead hold, if it is due; returns how many runs that were."""
        wait = self._ahead_of - now
        if self._begun is None or 0 < wait <= _AHEAD[1]:
            return 0
        if not -_HOLDS < wait <= 0:
            # The clock was set, or this process frozen.
            self.close()
            return 0
        begun, self._begun = self._begun, None
        done = begun.finish()
        return sum(len(change.jobs) for change in self._ahead.values() if change.name in done)

    def close(self) -> None:
        """Let others have at once what was begun ahead."""
        begun, self._begun = self._begun, None
        if begun is not None:
            begun.drop()

    def entries(self, names: Sequence[str] | None = None) -> list[tuple[str, Entry | None]]:
        """The schedules of these names, or all, by their names; None for one that can't be read here."""
        return [(row.name, readable_entry(row.body)) for row in self._store.read(names)]

    def get(self, name: str) -> Entry:
        """One schedule; `UnknownSchedule` where there is none."""
        found = self._store.read([name])
        return _known(name, decode_entry(found[0].body) if found else None)

    def declare(self, schedules: Sequence[Schedule], *, now: float | None = None) -> int:
        """Keep what an app's code says; returns how many schedules were new or changed by it.

        What was said at run time stays: a pause, and a rule or arguments that were changed since. So does what can't be read here.
        """
        wanted = {one.name: one for one in schedules}

        def declared(name: str, entry: Entry | None, now: float) -> Entry:
            return _declared(wanted[name], entry, now)

        names = list(wanted)
        return sum(
            self._edit(names[first : first + _SOME], declared, now, lenient=True)
            for first in range(0, len(names), _SOME)
        )

    def add(self, schedule: Schedule, *, now: float | None = None) -> None:
        """Keep another; `ConfigError` where there is one of its name."""

        def added(name: str, entry: Entry | None, now: float) -> Entry:
            if entry is not None:
                raise ConfigError(f"there is a schedule {name!r} already: change it, or give this one another name")
            return begin(Entry(schedule), now)

        self._edit([schedule.name], added, now)

    def change(self, name: str, how: Callable[[Schedule], Schedule], *, now: float | None = None) -> None:
        """Have a schedule be what `how` makes of it; `UnknownSchedule` where there is none."""

        def changed(name: str, entry: Entry | None, now: float) -> Entry:
            found = _known(name, entry)
            made = how(found.schedule)
            if made == found.schedule:
                return found
            return revise(replace(found, changed=found.declared), made, now)

        self._edit([name], changed, now)

    def pause(self, names: Sequence[str], *, now: float | None = None) -> int:
        """Have schedules start no more runs; returns how many did until now. `UnknownSchedule` where one is not there."""
        return self._edit(names, lambda name, entry, _: replace(_known(name, entry), paused=True), now)

    def resume(self, names: Sequence[str], *, now: float | None = None) -> int:
        """Have schedules go on from now: what was due in between is not made up for. Returns how many were paused."""

        def resumed(name: str, entry: Entry | None, now: float) -> Entry:
            found = _known(name, entry)
            return begin(replace(found, paused=False), now) if found.paused else found

        return self._edit(names, resumed, now)

    def remove(self, names: Sequence[str], *, now: float | None = None) -> int:
        """Forget schedules, also such as can't be read; returns how many there were. Jobs that their runs became stay."""
        count = 0
        for _ in range(_TRIES):
            changes = [Change(row.name, row.version, None) for row in self._store.read(names)]
            done = self._store.change(changes, now=now) if changes else []
            count += sum(done)
            if all(done):
                return count
        raise _outrun()

    def _edit(
        self,
        names: Sequence[str],
        edit: Callable[[str, Entry | None, float], Entry],
        now: float | None,
        *,
        lenient: bool = False,
    ) -> int:
        """Have entries become what `edit` makes of them; returns how many have changed.

        Parameters:
            edit: given the name, what there is, and the store's time.
            lenient: leave those alone that can't be read.
        """
        count, left = 0, list(dict.fromkeys(names))
        for _ in range(_TRIES):
            moment = self._store.due(0, now=now).now
            rows = {row.name: row for row in self._store.read(left)}
            changes: list[Change] = []
            for name in left:
                row = rows.get(name)
                try:
                    entry = None if row is None else decode_entry(row.body)
                except ConfigError:
                    if lenient:
                        continue
                    raise
                made = edit(name, entry, moment)
                if made != entry:
                    changes.append(_change(name, row, made))
            done = self._store.change(changes, now=now) if changes else []
            count += sum(done)
            left = [change.name for change, made in zip(changes, done, strict=True) if not made]
            if not left:
                return count
        raise _outrun()


def _in_time(next_in: float | None, passed: float) -> float | None:
    """When to look again: where runs are due soon, that is early enough to begin them ahead.

    Parameters:
        next_in: seconds from when the store was asked.
        passed: seconds since then.
    """
    if next_in is None:
        return None
    early = _AHEAD[1] - 0.05 if _AHEAD[1] < next_in < 2 * _AHEAD[1] else 0.0
    return max(0.0, next_in - early - passed)


def _outrun() -> StoreUnavailable:
    return StoreUnavailable("others kept changing the same schedules: try again")


def _fired(row: Row, now: float, troubles: list[Trouble]) -> Change:
    """What becomes of a row that is due."""
    try:
        entry = decode_entry(row.body)
        planned = plan(entry, now, _MADE_UP)
    except Exception as error:  # noqa: BLE001 - whatever a row holds, it must not end what looks after a worker
        # Another worker may know more: it is left as it is, and nobody's due rows wait behind it.
        told = str(error) if isinstance(error, ConfigError) else f"{type(error).__name__}: {error}"
        troubles.append(Trouble(row.name, told))
        later = Row(row.name, new_version(), now + _LATER, row.body)
        return Change(row.name, row.version, later)
    last = planned.runs[-1] if planned.runs else entry.last
    jobs = tuple(run_of(entry.schedule, due) for due in planned.runs)
    return _change(row.name, row, replace(entry, due=planned.due, last=last), jobs)


def _change(name: str, row: Row | None, entry: Entry, jobs: tuple[NewJob, ...] = ()) -> Change:
    made = Row(name, new_version(), entry.next_at, encode_entry(entry))
    return Change(name, ABSENT if row is None else row.version, made, jobs)


def _declared(schedule: Schedule, entry: Entry | None, now: float) -> Entry:
    if entry is None:
        return begin(Entry(schedule, declared=True), now)
    if entry.schedule == schedule:
        return replace(entry, declared=True, changed=False)
    if entry.changed or not entry.declared:
        return replace(entry, declared=True, changed=True)
    return revise(entry, schedule, now)


def _known(name: str, entry: Entry | None) -> Entry:
    if entry is None:
        raise UnknownSchedule(f"no schedule {name!r}: penstock schedules lists those that there are")
    return entry
