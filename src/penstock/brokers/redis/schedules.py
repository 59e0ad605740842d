"""The schedules of a Redis queue."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.brokers.redis.link import Argument, Link, moment
from penstock.brokers.redis.messages import encode, new_job
from penstock.brokers.schedules import Change, Due, Row, ScheduleStore


class RedisSchedules(ScheduleStore):
    """See `penstock.brokers.schedules.ScheduleStore`. Made by `RedisBroker.schedules`, whose connection it uses."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def read(self, names: Sequence[str] | None = None) -> list[Row]:
        """See `ScheduleStore.read`."""
        if names is None:
            found = self._link.ask("HGETALL", "schedules")
            pairs = found.items() if isinstance(found, dict) else zip(found[::2], found[1::2], strict=True)
            return sorted((_row(name, kept) for name, kept in pairs), key=lambda row: row.name)
        wanted = sorted(set(names))
        values = self._link.ask("HMGET", "schedules", *wanted) if wanted else []
        return [_row(name.encode(), kept) for name, kept in zip(wanted, values, strict=True) if kept is not None]

    def due(self, limit: int, *, now: float | None = None) -> Due:
        """See `ScheduleStore.due`."""
        at, next_in, *rows = self._link.run("schedules_due", moment(now), limit)
        pairs = zip(rows[::2], rows[1::2], strict=True)
        return Due(float(at), [_row(name, kept) for name, kept in pairs], float(next_in) if next_in else None)

    def change(self, changes: Sequence[Change], *, now: float | None = None) -> list[bool]:
        """See `ScheduleStore.change`."""
        words: list[Argument] = []
        for change in changes:
            row = change.row
            jobs = encode([new_job(job) for job in change.jobs]) if change.jobs else b""
            if row is None:
                words += (change.name, change.version, "", "", b"", jobs)
            else:
                at = "" if row.next_at is None else repr(float(row.next_at))
                words += (change.name, change.version, row.version, at, row.body, jobs)
        if not words:
            return []
        return [bool(done) for done in self._link.run("schedules_change", moment(now), *words)]


def _row(name: bytes, kept: bytes) -> Row:
    version, at, body = kept.split(b"\n", 2)
    return Row(name.decode(), int(version), float(at) if at else None, body)
