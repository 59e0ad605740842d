"""How a job is to be sent, and what of it makes no sense."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from penstock.core.decide import JobOptions, Terms
from penstock.core.job import DEFAULT_PRIORITY, DEFAULT_QUEUE, PRIORITIES, Dedup
from penstock.core.limiter import Limit
from penstock.errors import ConfigError

_FOREVER = float("inf")


class Sending(msgspec.Struct, frozen=True):
    """How a job is to be sent: a task's own settings, changed by `.options(...)` for one call."""

    queue: str = DEFAULT_QUEUE
    priority: int = DEFAULT_PRIORITY
    delay: float | None = None
    at: float | None = None
    unique: str | bool | None = None
    at_most_once: bool = False
    job: JobOptions = JobOptions()
    tx: object | None = None
    unique_for: float | None = None
    unique_until: str = "finished"
    replace: bool = False
    expires: float | None = None

    @property
    def dedup(self) -> Dedup | None:
        """How its unique key counts."""
        plain = self.unique_for is None and self.unique_until == "finished" and not self.replace
        return None if plain else Dedup(self.unique_for, self.unique_until == "started", self.replace)


def check_sending(sending: Sending) -> None:
    """Raise `ConfigError` for settings that make no sense."""
    if sending.priority not in PRIORITIES:
        raise ConfigError(f"priority is 0 to 9, higher first, not {sending.priority!r}")
    for name in ("delay", "at"):
        seconds = getattr(sending, name)
        if seconds is not None and not -_FOREVER < seconds < _FOREVER:
            raise ConfigError(f"{name}= is a finite time, not {seconds!r}")
    if sending.job.result_ttl is not None and not 0 <= sending.job.result_ttl < _FOREVER:
        raise ConfigError(f"result_ttl= is a number of seconds, 0 or more, not {sending.job.result_ttl!r}")
    if sending.job.timeout is not None:
        _check_timeout(sending.job.timeout)
    for name in ("unique_for", "expires"):
        seconds = getattr(sending, name)
        if seconds is not None and not 0 < seconds < _FOREVER:
            raise ConfigError(f"{name}= is a number of seconds, more than 0, not {seconds!r}")
    if sending.unique_until not in ("started", "finished"):
        raise ConfigError(f'unique_until= is "started" or "finished", not {sending.unique_until!r}')
    if sending.dedup is not None and not sending.unique:
        raise ConfigError("unique_for=, unique_until= and replace= go with unique=: a key, or True for the arguments")
    if sending.unique_for is not None and (sending.replace or sending.unique_until == "started"):
        raise ConfigError("unique_for= holds the key for a time of its own: it goes without unique_until= and replace=")
    if not sending.queue or not sending.queue.isprintable() or "," in sending.queue:
        raise ConfigError(f"a queue's name is printable text without commas, not {sending.queue!r}")


def check_limits(terms: Terms) -> None:
    """Raise `ConfigError` for limits that make no sense."""
    if terms.timeout is not None:
        _check_timeout(terms.timeout)
    if not 0 <= terms.kill_after < _FOREVER:
        raise ConfigError(f"kill_after= is a number of seconds, 0 or more, not {terms.kill_after!r}")


def check_limit(name: str, limit: Limit | None, limit_key: Callable[..., object] | None) -> None:
    """Raise `ConfigError` for a limit of a task that can't be kept."""
    if limit is None:
        if limit_key is not None:
            raise ConfigError(f"{name}: limit_key= goes with a rate_limit= or a concurrency=")
        return
    if "," in name or name.startswith("="):
        raise ConfigError(
            f"a task that is limited has a name without commas, which does not begin with =, not {name!r}"
        )
    if limit_key is not None and not callable(limit_key):
        raise ConfigError(f"{name}: limit_key= is a function of the task's arguments, not {limit_key!r}")


def _check_timeout(seconds: float) -> None:
    if not 0 < seconds < _FOREVER:
        raise ConfigError(f"timeout= is a number of seconds, more than 0, not {seconds!r}; leave it out for never")
