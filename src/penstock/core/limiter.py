"""How often, and how many at a time: limits of tasks and queues, the gates they are kept at, and who may pass.

A rate is kept by the generic cell rate algorithm (ITU-T I.371, annex A; https://brandur.org/rate-limiting tells it for
programmers): of each gate one number is stored, the *theoretical arrival time*, at which all that was let through would be
paid for at an even pace. Nothing has to tick, and a pause earns no more than the burst.

The jobs of a limited task wait in a *line* of their own: a queue behind the queue, by a name that no queue can have. A gate that is
*ordered* lets the jobs of its line pass in the order in which they came, to one claim at a time.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache

import msgspec

from penstock.core.text import storable
from penstock.errors import ConfigError

_RATE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*/\s*(\d*)\s*(s|m|h|d|sec|min|hour|day|second|minute)\s*\Z")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
#: Without a burst of its own, a rate may hand out this many seconds' worth at once.
_AT_ONCE = 0.1
#: A gate opens for as many as fall due in this many seconds, so that a high rate costs few claims.
_TOGETHER = 0.02
#: Seconds between looks at a gate that is open while all workers are busy.
_UNTOUCHED = 0.05
#: Seconds until a gate is looked at again whose places are all taken. The end of any of its jobs opens it at once; this is for
#: ends that nobody told of.
_FULL = 5.0
#: Seconds further ahead than the burst by which it is known that the clock was set back.
_SET_BACK = 60.0
#: Seconds by which a time that went through a database may differ from itself.
_GRAIN = 1e-6
_LONGEST_KEY = 120
#: The first letter of a gate that is ordered.
_ORDERED = "="


class Limit(msgspec.Struct, frozen=True, omit_defaults=True):
    """How often jobs may start, how many of them may run at a time, across all workers, and whether they keep their order.

    Parameters:
        rate: "10/s", "600/m", "1000/h", "5/10s": so many jobs in so much time, evenly spaced.
        concurrency: jobs that run at the same time, at most.
        burst: jobs that may start at once after a pause; without it a tenth of a second's worth, and at least one.
        ordered: jobs of one key are taken in the order in which they came, several at a time, and none while any of them is under way or
            will be retried. Goes with no other limit.

    Raises:
        ConfigError: no limit at all, or one that makes no sense.
    """

    rate: str | None = None
    concurrency: int | None = None
    burst: int | None = None
    ordered: bool = False

    def __post_init__(self) -> None:
        if self.ordered:
            if (self.rate, self.concurrency, self.burst) != (None, None, None):
                raise ConfigError("what is ordered has no rate, concurrency or burst: limit its queue instead")
        elif self.rate is not None:
            seconds_each(self.rate)
        elif self.concurrency is None:
            raise ConfigError('a limit has a rate="10/s" or a concurrency=3')
        elif self.burst is not None:
            raise ConfigError("burst= goes with a rate")
        for name in ("concurrency", "burst"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ConfigError(f"{name}= is a whole number, 1 or more, not {value!r}")

    @property
    def every(self) -> float | None:
        """Seconds from one job to the next; None is no rate."""
        return None if self.rate is None else seconds_each(self.rate)

    @property
    def at_once(self) -> int:
        """Jobs that may start together, as far as the rate goes."""
        return self.burst or max(1, int(_AT_ONCE / (self.every or 1.0) + _GRAIN))


@lru_cache(1000)
def seconds_each(rate: str) -> float:
    """The seconds from one job to the next; `ConfigError` for what is no rate."""
    found = _RATE.match(str(rate))
    count = 0.0 if found is None else float(found[1])
    seconds = 0 if found is None else int(found[2] or 1) * _SECONDS[found[3][0]]
    if count <= 0 or seconds <= 0:
        raise ConfigError(f'a rate is written "10/s", "600/m", "1000/h" or "5/10s", not {rate!r}')
    return seconds / count


def bounded(limit: Limit, paid_until: float, now: float) -> float:
    """A theoretical arrival time as it can be: no further ahead than the burst, unless the clock was set back.

    Two that look at one clock may come in the other order, and a little is not held against them.
    """
    every = limit.every
    if every is None or paid_until <= now + limit.at_once * every + _SET_BACK:
        return paid_until
    return now + limit.at_once * every


def room(limit: Limit, paid_until: float, running: int, now: float) -> int:
    """How many jobs may start now.

    Parameters:
        paid_until: the theoretical arrival time, in epoch seconds.
        running: how many run already.
    """
    free = limit.at_once if limit.concurrency is None else max(0, limit.concurrency - running)
    every = limit.every
    if every is None:
        return free
    by_rate = math.floor((limit.at_once * every - max(0.0, paid_until - now) + _GRAIN) / every)
    return by_rate if limit.concurrency is None else min(free, by_rate)


def paid(limit: Limit, paid_until: float, count: int, now: float) -> float:
    """The theoretical arrival time once so many have started; fewer than 0 where as many did not start after all."""
    every = limit.every
    return paid_until if every is None else max(paid_until, now) + count * every


def opens_at(limit: Limit, paid_until: float, now: float) -> float:
    """When a gate that is closed by its rate lets the next few pass, in epoch seconds."""
    every = limit.every
    if every is None:
        return now
    return max(now, paid_until - (limit.at_once - opened_together(limit)) * every)


def opened_together(limit: Limit) -> int:
    """For how many jobs a gate opens at a time that was closed by its rate."""
    every = limit.every
    return limit.at_once if every is None else min(limit.at_once, max(1, int(_TOGETHER / every)))


class OpenGate:
    """A gate in the hands of whoever claims, and nobody else.

    Parameters:
        running: jobs that passed it and run.
        now: in epoch seconds, by the store's clock.
    """

    def __init__(self, limit: Limit, paid_until: float, running: int, now: float) -> None:
        self.limit = limit
        self.paid_until = bounded(limit, paid_until, now)
        self.running = running

    def room(self, now: float) -> int:
        """How many may pass."""
        return room(self.limit, self.paid_until, self.running, now)

    def passed(self, count: int, now: float) -> None:
        """So many have."""
        self.running += count
        self.paid_until = paid(self.limit, self.paid_until, count, now)

    def closed_until(self, now: float) -> float:
        """When to look again, where nothing more may pass; now, where something may."""
        if self.room(now) > 0:
            return now
        if self.limit.concurrency is not None and self.running >= self.limit.concurrency:
            return now + _FULL
        return opens_at(self.limit, self.paid_until, now)


def look_again(next_in: float | None, *, fell_due: bool, is_due: bool) -> float | None:
    """In how many seconds to look at the gates again, where anything waits at them.

    Parameters:
        next_in: seconds until the next gate opens.
        fell_due: some have opened since the last look, and workers are being woken: soon it is known when they open next.
        is_due: some are open, and nobody has come.
    """
    soon = _TOGETHER if fell_due else _UNTOUCHED if is_due else math.inf
    wait = min(soon, math.inf if next_in is None else next_in)
    return None if wait == math.inf else wait


def gate(task: str, key: object = None, *, ordered: bool = False) -> str:
    """The name of the gate that a task's jobs pass, or those of one key of their arguments; in their order, where they keep one."""
    if ordered:
        return _ORDERED + gate(task, key)
    if key is None:
        return task
    text = storable(str(key)).replace("\0", "")
    if len(text) > _LONGEST_KEY:
        from hashlib import blake2b  # loads OpenSSL

        text = f"{text[:40]}~{blake2b(text.encode(), digest_size=16).hexdigest()}"
    return f"{task},{text}"


def is_ordered(gate: str | None) -> bool:
    """Do the jobs before a gate keep their order?"""
    return gate is not None and gate.startswith(_ORDERED)


def queue_gate(queue: str) -> str:
    """The name of a queue's own gate."""
    return f",{queue}"


def limit_name(gate: str) -> str:
    """By which name the limit is kept that holds at a gate."""
    return gate if gate.startswith(",") else gate.partition(",")[0]


def line(queue: str, gate: str | None) -> str:
    """Where jobs of a queue wait that pass a gate: a queue's name as it is stored. Without a gate, the queue itself."""
    return queue if gate is None else f",{queue},{gate}"


def queue_of(line: str) -> str:
    """The queue that a stored name belongs to."""
    return line.split(",", 2)[1] if line.startswith(",") and line.count(",") > 1 else line


def gate_of(line: str) -> str | None:
    """The gate before which a line is."""
    return line.split(",", 2)[2] if line.startswith(",") and line.count(",") > 1 else None
