"""The schedules of a PostgreSQL queue."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.brokers.postgres.arrays import Array
from penstock.brokers.postgres.link import Link
from penstock.brokers.postgres.storing import store
from penstock.brokers.schedules import Change, Due, Row, ScheduleStore


class PostgresSchedules(ScheduleStore):
    """See `penstock.brokers.schedules.ScheduleStore`. Made by `PostgresBroker.schedules`, whose connection it uses."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def read(self, names: Sequence[str] | None = None) -> list[Row]:
        """See `ScheduleStore.read`."""
        if names is None:
            return [Row(*row) for row in self._link.run("schedules")]
        return [Row(*row) for row in self._link.run("schedules_named", names=Array("text", names))]

    def due(self, limit: int, *, now: float | None = None) -> Due:
        """See `ScheduleStore.due`."""
        rows = self._link.run("schedules_due", at=now, most=limit)
        moment, next_in = rows[0][:2]
        return Due(moment, [Row(*row) for _, _, *row in rows if row[0] is not None], next_in)

    def change(self, changes: Sequence[Change], *, now: float | None = None) -> list[bool]:
        """See `ScheduleStore.change`."""
        if not changes:
            return []
        rows = [change.row for change in changes]
        with self._link.transaction() as session:
            found = session.run(
                "schedules_change",
                names=Array("text", [change.name for change in changes]),
                befores=Array("int8", [change.version for change in changes]),
                versions=Array("int8", [None if row is None else row.version for row in rows]),
                next_ats=Array("float8", [None if row is None else row.next_at for row in rows]),
                bodies=Array("bytea", [None if row is None else row.body for row in rows]),
            )
            done = {name for (name,) in found}
            jobs = [job for change in changes if change.name in done for job in change.jobs]
            if jobs:
                store(session, jobs, now, grow=False)
            if done:
                session.run("ring")
        return [change.name in done for change in changes]
