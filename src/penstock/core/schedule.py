"""Schedules: when a run is due, which runs that were missed are made up for, and the job that a run is. Pure.

A due time is a moment in epoch seconds that follows from the schedule's rule alone, so that every process works out the same ones. A run's
job has an id that follows from the schedule's name and the due time.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from enum import StrEnum
from functools import lru_cache
from itertools import islice
from typing import Any

import msgspec

from penstock.core.codec import encode_value
from penstock.core.decide import JobOptions
from penstock.core.ids import uuid7
from penstock.core.job import DEFAULT_PRIORITY, DEFAULT_QUEUE, NewJob
from penstock.errors import ConfigError

#: Seconds after which a run that was not started has been missed, for a schedule that skips those.
GRACE = 60.0
#: Seconds between two runs, at least: an id tells due times apart by their milliseconds.
SHORTEST = 0.1
LONGEST_NAME = 255
#: Bytes of encoded arguments, at most: all schedules that one transaction sees to are in one document of MongoDB's, of 16 MB.
LARGEST_PAYLOAD = 100_000
#: Cron's short words for some rules.
_WORDS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
#: What makes `datetime.fromtimestamp` look at the second that a moment is in: more than a float of our days can lose.
_A_BIT = 2e-6
#: Answers that are kept: many schedules are due at once, and follow few rules. To read an expression anew takes 0.2 ms.
_REMEMBERED = 4096


class CatchUp(StrEnum):
    """What becomes of runs that came due while no worker was there: none, one for all of them, or each."""

    SKIP = "skip"
    ONCE = "once"
    ALL = "all"


class Schedule(msgspec.Struct, frozen=True, omit_defaults=True):
    """A rule, and the job that each run of it is.

    Either `cron` (an expression, by the clocks of `tz`) or `every` (seconds, counted from the epoch) is given. `jitter` is the seconds by which
    runs come later, at most; how much of it is the schedule's own, and always the same. The rest is as in `NewJob`.
    """

    name: str
    task: str
    payload: bytes
    cron: str | None = None
    every: float | None = None
    tz: str = "UTC"
    catch_up: CatchUp = CatchUp.ONCE
    jitter: float = 0.0
    queue: str = DEFAULT_QUEUE
    priority: int = DEFAULT_PRIORITY
    options: JobOptions = JobOptions()
    unique: str | None = None
    at_most_once: bool = False
    gate: str | None = None

    @property
    def rule(self) -> str:
        """The rule in words."""
        if self.every is not None:
            return f"every {self.every:g} s"
        return f"{self.cron} {self.tz}"

    @property
    def offset(self) -> float:
        """Seconds by which each run comes later than it is due."""
        if not self.jitter:
            return 0.0
        from zlib import crc32  # few have a jitter

        return self.jitter * (crc32(self.name.encode()) / 2**32)


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A schedule as it is kept, and how it stands.

    Parameters:
        declared: an app's code has it, or had it when a worker of that app started last.
        changed: what holds was said at run time, and is not what the code says.
        due: when the next run is due, before its offset; None where none comes.
        last: when the last run was due that became a job.
    """

    schedule: Schedule
    declared: bool = False
    changed: bool = False
    paused: bool = False
    due: float | None = None
    last: float | None = None

    @property
    def next_at(self) -> float | None:
        """When the next run becomes a job, in epoch seconds; None where none does."""
        return None if self.due is None or self.paused else self.due + self.schedule.offset


class Plan(msgspec.Struct, frozen=True):
    """The due times of the runs that start now, oldest first, and when the next one is due."""

    runs: tuple[float, ...]
    due: float | None


def check(schedule: Schedule) -> None:
    """Raise `ConfigError` for a schedule that makes no sense."""
    name = schedule.name
    if not name or not name.isprintable() or ":" in name or len(name.encode("utf-8", "replace")) > LONGEST_NAME:
        raise ConfigError(
            f"a schedule's name is printable text without colons, of at most {LONGEST_NAME} bytes, not {name!r}"
        )
    if (schedule.cron is None) is (schedule.every is None):
        raise ConfigError(f"schedule {name!r}: give it a cron expression or every=, and not both")
    every = schedule.every
    if every is not None and not SHORTEST <= every < float("inf"):
        raise ConfigError(f"schedule {name!r}: every= is a number of seconds, {SHORTEST} or more, not {every!r}")
    if not 0 <= schedule.jitter < float("inf") or schedule.jitter > (every or float("inf")):
        raise ConfigError(
            f"schedule {name!r}: jitter= is a number of seconds, from 0 to those between two runs, not {schedule.jitter!r}"
        )
    if len(schedule.payload) > LARGEST_PAYLOAD:
        raise ConfigError(
            f"schedule {name!r}: its arguments take {len(schedule.payload):,} bytes, and {LARGEST_PAYLOAD:,} is the most: "
            "keep what is large elsewhere, and have the task get it"
        )
    try:
        never = next_due(schedule, 0.0) is None
    except ConfigError as error:
        raise ConfigError(f"schedule {name!r}: {error}") from None
    if never:
        raise ConfigError(f"schedule {name!r}: {schedule.cron!r} never comes")


def next_due(schedule: Schedule, after: float) -> float | None:
    """The first due time after a moment.

    Raises:
        ConfigError: the expression can't be read, or there is no such time zone here.
    """
    every = schedule.every
    if every is not None:
        count = after // every
        # The division is exact to the last bit, and the product need not be.
        return next(due for due in (count * every, (count + 1) * every, (count + 2) * every) if due > after)
    return _next(schedule.cron or "", schedule.tz, after)


@lru_cache(_REMEMBERED)
def _next(expression: str, tz: str, after: float) -> float | None:
    # A time that the clocks show twice is due the first time it is shown, which may have been before.
    return next((due for due in _moments(expression, tz, after) if due > after), None)


def latest_due(schedule: Schedule, until: float) -> float | None:
    """The last due time up to a moment; see `next_due`."""
    every = schedule.every
    if every is not None:
        count = until // every
        return next(due for due in ((count + 1) * every, count * every, (count - 1) * every) if due <= until)
    moments = _moments(schedule.cron or "", schedule.tz, until + _A_BIT, reverse=True)
    return next((due for due in moments if due <= until), None)


def _moments(text: str, tz: str, start: float, *, reverse: bool = False) -> Iterator[float]:
    from cronsim import CronSim, CronSimError  # few programs that send jobs have schedules

    zone = _zone(tz)
    try:
        found = CronSim(_WORDS.get(text.lower(), text), datetime.fromtimestamp(start, zone), reverse)
    except CronSimError as error:
        raise ConfigError(
            f"{text!r} is no cron expression ({error}): write minute, hour, day of the month, month and day of the week, as '*/5 * * * *'"
        ) from None
    # So many: only those of one change of the clocks may be on the wrong side of the start.
    return (moment.timestamp() for moment in islice(found, 10_000))


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(
            f"no time zone {name!r} here: write one as Europe/Paris; where none is known, install the system's tzdata, or pip install tzdata"
        ) from None


def begin(entry: Entry, now: float) -> Entry:
    """The entry with the first due time from now on; never one that had its run, whatever the clock says."""
    offset = entry.schedule.offset
    after = max(now - offset, -1.0 if entry.last is None else entry.last)
    return msgspec.structs.replace(entry, due=next_due(entry.schedule, after))


def revise(entry: Entry, schedule: Schedule, now: float) -> Entry:
    """The entry with another schedule: what was missed by its rule stays missed, where that is still the same."""
    old = entry.schedule
    revised = msgspec.structs.replace(entry, schedule=schedule)
    if entry.due is not None and (old.cron, old.every, old.tz) == (schedule.cron, schedule.every, schedule.tz):
        return revised
    return begin(revised, now)


def plan(entry: Entry, now: float, most: int) -> Plan:
    """Which runs of a schedule start now.

    Parameters:
        now: by the store's clock, in epoch seconds.
        most: runs that are made up for at once; the others are next.
    """
    schedule, due, now = entry.schedule, entry.due, now - entry.schedule.offset
    if due is None or due > now:
        return Plan((), due)
    following = next_due(schedule, due)
    runs = [due]
    if following is not None and following <= now:
        if schedule.catch_up is CatchUp.ALL:
            while following is not None and following <= now and len(runs) < most:
                runs.append(following)
                following = next_due(schedule, following)
        else:
            runs = [max(due, latest_due(schedule, now) or due)]
            following = next_due(schedule, now)
    if schedule.catch_up is CatchUp.SKIP and now - runs[-1] > GRACE:
        runs = []
    return Plan(tuple(runs), following)


def run_of(schedule: Schedule, due: float) -> NewJob:
    """The job of the run that is due then; the same one, by its id, whoever makes it."""
    return _job(schedule, _id_of(schedule.name, due), msgspec.structs.replace(schedule.options, due=due))


def run_now(schedule: Schedule, id: bytes) -> NewJob:
    """The job of a run that somebody asks for."""
    return _job(schedule, id, schedule.options)


def _job(schedule: Schedule, id: bytes, options: JobOptions) -> NewJob:
    return NewJob(
        id, schedule.task, schedule.payload, schedule.queue, schedule.priority, unique=schedule.unique,
        options=None if options == JobOptions() else encode_value(options), at_most_once=schedule.at_most_once, gate=schedule.gate,
    )  # fmt: skip


def _id_of(name: str, due: float) -> bytes:
    from hashlib import blake2b  # loads OpenSSL

    milliseconds = round(due * 1000)
    return uuid7(milliseconds, blake2b(f"{milliseconds} {name}".encode(), digest_size=10).digest())


def of_job(job: NewJob, options: JobOptions, name: str, **rule: Any) -> Schedule:
    """The schedule whose runs are like a job.

    Parameters:
        rule: the fields of `Schedule` that are no fields of a job.

    Raises:
        ConfigError: it makes no sense.
    """
    if job.delay is not None or job.run_at is not None:
        raise ConfigError(f"schedule {name!r}: its runs have their times; leave delay= and at= out")
    plain = Schedule(
        name, job.task, job.payload, queue=job.queue, priority=job.priority, options=options, unique=job.unique,
        at_most_once=job.at_most_once, gate=job.gate,
    )  # fmt: skip
    return with_rule(plain, **rule)


def with_rule(schedule: Schedule, **rule: Any) -> Schedule:
    """The schedule with some of its fields changed; `ConfigError` where that makes no sense."""
    if "catch_up" in rule:
        try:
            rule["catch_up"] = CatchUp(rule["catch_up"])
        except ValueError:
            words = ", ".join(f'"{word}"' for word in CatchUp)
            raise ConfigError(f"schedule {schedule.name!r}: catch_up= is {words}, not {rule['catch_up']!r}") from None
    made = msgspec.structs.replace(schedule, **rule)
    check(made)
    return made


encode_entry = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Entry).decode


def decode_entry(data: bytes) -> Entry:
    """The entry that was encoded; `ConfigError` where a newer version wrote it, or something else did."""
    try:
        return _decode(data)
    except (msgspec.MsgspecError, ValueError) as error:
        raise ConfigError(f"the schedule can't be read ({error}): upgrade Penstock, or remove it") from None


def readable_entry(data: bytes) -> Entry | None:
    """The entry that was encoded; None where it can't be read here."""
    try:
        return decode_entry(data)
    except ConfigError:
        return None
