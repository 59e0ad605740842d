"""Who subscribes to what in a Redis queue, and the jobs of events."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import msgspec

from penstock.brokers.redis.link import Argument, Link, moment
from penstock.brokers.redis.messages import encode, is_plain, new_job
from penstock.brokers.redis.record import new_tail
from penstock.core.job import NewJob
from penstock.core.topics import Event, Router, Subscription
from penstock.errors import StoreUnavailable

#: Tries of a publish that others changed subscriptions under.
_TRIES = 20
_ARRAY_OF_THREE = b"\x93"
_key = msgspec.msgpack.Decoder(tuple[str, str, str]).decode
_terms = msgspec.msgpack.Decoder(tuple[str, int, str | None, bool]).decode


class Topics:
    """What one connection knows of the subscriptions: all of them, as they were after one of their changes.

    A change has a random mark. A number would be given twice where the last one was lost in a fail-over.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._version: bytes | None = None
        self._router = Router(())

    def read(self) -> list[Subscription]:
        """All subscriptions, in the order of their keys."""
        version, rows = self._link.run("subscriptions")
        found: list[Subscription] = []
        for name, terms in zip(rows[::2], rows[1::2], strict=True):
            group, task, pattern = _key(name)
            queue, priority, gate, once = _terms(terms)
            found.append(Subscription(group, task, pattern, queue, priority, gate, once))
        found.sort(key=lambda one: one.key)
        if version != self._version:
            self._version, self._router = version, Router(found)
        return found

    def subscribe(self, subscriptions: Sequence[Subscription]) -> None:
        """See `Broker.subscribe`."""
        words: list[bytes] = []
        for one in subscriptions:
            terms = encode((one.queue, one.priority, one.gate, one.at_most_once))
            words += (_ARRAY_OF_THREE + encode(one.group) + encode(one.task), encode(one.pattern), terms)
        if words:
            self._link.run("subscribe", secrets.token_bytes(8), *words)

    def unsubscribe(self, subscriptions: Sequence[Subscription]) -> int:
        """See `Broker.unsubscribe`."""
        self._link.client  # noqa: B018 - a closed broker says so
        if not subscriptions:
            return 0
        keys = [encode(one.key) for one in subscriptions]
        return int(self._link.run("unsubscribe", secrets.token_bytes(8), *keys))

    def publish(self, events: Sequence[Event], now: float | None) -> list[int]:
        """See `Broker.publish`. The script stores nothing where subscriptions have changed."""
        for _ in range(_TRIES):
            out = self._router.fan_out(events)
            # With nothing to store, there is still to ask whether somebody has subscribed.
            words = _words(out.jobs)
            if self._version is not None and self._link.run("publish", moment(now), self._version, *words):
                return out.groups
            self.read()
        raise StoreUnavailable("others kept changing subscriptions: try again")


def _words(jobs: Sequence[NewJob]) -> list[Argument]:
    """Jobs as `lua/publish.lua` takes them."""
    others: list[NewJob] = []
    plain: dict[tuple[str, int], list[bytes]] = {}
    for job in jobs:
        if is_plain(job):
            plain.setdefault((job.queue, job.priority), []).extend((job.id, new_tail(job)))
        else:
            others.append(job)
    words: list[Argument] = [encode([new_job(job) for job in others]) if others else b""]
    for (queue, priority), stored in plain.items():
        words += (queue, priority, len(stored) // 2, *stored)
    return words
