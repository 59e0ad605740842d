"""The schedules of a SQLite queue."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Sequence

from penstock.brokers.schedules import ABSENT, Change, Due, Row, ScheduleStore
from penstock.brokers.sqlite.side import Side
from penstock.stores import sqlite


class SqliteSchedules(Side, ScheduleStore):
    """See `penstock.brokers.schedules.ScheduleStore`. Made by `SqliteBroker.schedules`, whose connection it uses."""

    def read(self, names: Sequence[str] | None = None) -> list[Row]:
        """See `ScheduleStore.read`."""
        with sqlite.translating(self._path):
            if names is None:
                found = self._connection.execute(self._sql["schedules"])
            else:
                found = self._connection.execute(self._sql["schedules_named"], (json.dumps(list(names)),))
            return [Row(*row) for row in found]

    def due(self, limit: int, *, now: float | None = None) -> Due:
        """See `ScheduleStore.due`."""
        now = time.time() if now is None else now
        with sqlite.translating(self._path):
            rows = self._connection.execute(self._sql["schedules_due"], (now, limit)).fetchall()
            following = self._connection.execute(self._sql["schedules_next"], (now,)).fetchone()
        return Due(now, [Row(*row) for row in rows], None if following is None else following[0] - now)

    def change(self, changes: Sequence[Change], *, now: float | None = None) -> list[bool]:
        """See `ScheduleStore.change`."""
        now = time.time() if now is None else now
        with self._transaction() as connection:
            done = [self._write(connection, change) for change in changes]
            jobs = [job for change, made in zip(changes, done, strict=True) if made for job in change.jobs]
            if jobs:
                self._moves.enqueue(connection, jobs, now)
            listeners = self._moves.listeners(connection) if any(done) else []
        self._ring(listeners)
        return done

    def _write(self, connection: sqlite3.Connection, change: Change) -> bool:
        row = change.row
        if row is None:
            return connection.execute(self._sql["schedule_remove"], (change.name, change.version)).rowcount > 0
        values = row.version, row.next_at, row.body
        if change.version == ABSENT:
            return connection.execute(self._sql["schedule_add"], (row.name, *values)).rowcount > 0
        return connection.execute(self._sql["schedule_change"], (row.name, change.version, *values)).rowcount > 0
