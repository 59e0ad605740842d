"""Has the runs of schedules start when they are due: for a whole worker, in the thread of its upkeep."""

from __future__ import annotations

from collections.abc import Callable

from penstock.brokers.base import Broker, Feature
from penstock.brokers.timetable import Timetable
from penstock.events.emit import Emitter, ScheduleTrouble

#: Runs that one process is woken for, where many are due at once: it takes them while another takes the next. Of fewer, the store's own ring tells.
_EACH = 100


class Timekeeper:
    """Belongs to one connection of the upkeep's.

    Parameters:
        wake: has so many idle processes look for work.
    """

    def __init__(self, broker: Broker, emitter: Emitter, wake: Callable[[int], None]) -> None:
        kept = Feature.SCHEDULES in broker.features
        self._timetable = Timetable(broker.schedules()) if kept else None
        self._emitter = emitter
        self._wake = wake

    @property
    def is_pressing(self) -> bool:
        """Are there runs that need a word only, and at once?"""
        return self._timetable is not None and self._timetable.is_pressing

    def fire(self) -> float | None:
        """Make jobs of the runs that are due; returns the seconds until there is more to do."""
        if self._timetable is None:
            return None
        fired = self._timetable.fire()
        if processes := fired.runs // _EACH:
            self._wake(processes)
        for trouble in fired.troubles:
            self._emitter.emit(ScheduleTrouble(trouble.name, trouble.reason))
        return fired.next_in

    def close(self) -> None:
        """Let others have what was begun."""
        if self._timetable is not None:
            self._timetable.close()
