"""Topics: which subscriptions an event goes to, and the jobs it becomes. Pure.

A topic is words with dots between them. A pattern is one, too, in which `*` stands for any one word and `#` for any number of
words, none included: as in AMQP's topic exchanges.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from penstock.core.job import DEFAULT_PRIORITY, NewJob
from penstock.errors import ConfigError

#: Bytes that a topic or a pattern has, at most: what AMQP can carry.
LONGEST = 255
ONE, ANY = "*", "#"
#: Topics whose subscriptions a router remembers.
_REMEMBERED = 4096
#: The random bits of a UUIDv7 above its counter, in which the jobs of one event differ: see `job_id`.
_TOP_MASK, _LOW_BITS, _LOW_MASK = 0xFFF << 64, 30, 0xFFFF_FFFF


class Subscription(msgspec.Struct, frozen=True, gc=False):
    """That a handler of a group wants the events of some topics, and how its jobs are stored.

    `task` is the handler's name, which jobs find it by; a handler may have several patterns. `queue`, `priority`, `gate` and
    `at_most_once` are as in `NewJob`.
    """

    group: str
    task: str
    pattern: str
    queue: str
    priority: int = DEFAULT_PRIORITY
    gate: str | None = None
    at_most_once: bool = False

    @property
    def key(self) -> tuple[str, str, str]:
        """What there is only one of in a store."""
        return self.group, self.task, self.pattern


class Event(msgspec.Struct, frozen=True, gc=False):
    """Something that is published: a UUIDv7 of its own, its topic, and what the handlers' jobs carry."""

    id: bytes
    topic: str
    payload: bytes


class FanOut(msgspec.Struct, frozen=True):
    """What events become: jobs, in the events' order, and how many groups get each event."""

    jobs: list[NewJob]
    groups: list[int]


def check_topic(topic: str) -> str:
    """The topic, where it is one; `ConfigError` otherwise."""
    words = _words("topic", topic)
    if ONE in words or ANY in words:
        raise ConfigError(f"events are published to one topic, and {topic!r} is a pattern: name the topic")
    return topic


def check_pattern(pattern: str) -> str:
    """The pattern, where it is one; `ConfigError` otherwise."""
    for word in _words("pattern", pattern):
        if word not in {ONE, ANY} and (ONE in word or ANY in word):
            raise ConfigError(
                f"{ONE} and {ANY} stand for whole words, and {word!r} in {pattern!r} is more than one of them"
            )
    return pattern


def _words(what: str, text: str) -> list[str]:
    if not text.isprintable() or len(text.encode("utf-8", "replace")) > LONGEST:
        raise ConfigError(f"a {what} is printable text of at most {LONGEST} bytes, not {text!r}")
    words = text.split(".")
    if "" in words:
        raise ConfigError(f"a {what} is words with dots between them, such as orders.filled, not {text!r}")
    return words


def matches(pattern: str, topic: str) -> bool:
    """Does a pattern stand for a topic?

    It takes time by the product of their words at most, however many `#` there are.
    """
    words = topic.split(".")
    # Which first words of the topic the pattern's words so far can stand for, by how many they are.
    reached = [True, *[False] * len(words)]
    for part in pattern.split("."):
        if part == ANY:
            first = reached.index(True)
            reached = [n >= first for n in range(len(reached))]
        else:
            reached = [False, *(reached[n] and part in {ONE, word} for n, word in enumerate(words))]
        if True not in reached:
            return False
    return reached[-1]


class Router:
    """Finds who gets an event.

    Parameters:
        subscriptions: all that there are.
    """

    def __init__(self, subscriptions: Sequence[Subscription]) -> None:
        self._subscriptions = sorted(subscriptions, key=lambda one: one.key)
        self._known: dict[str, tuple[list[tuple[Subscription, int]], int]] = {}

    def fan_out(self, events: Sequence[Event]) -> FanOut:
        """The jobs of events: one for each handler with a pattern that fits, however many of its patterns do."""
        made: list[NewJob] = []
        groups: list[int] = []
        for event in events:
            found, count = self._known.get(event.topic) or self._find(event.topic)
            groups.append(count)
            for one, mark in found:
                made.append(
                    NewJob(
                        _marked(event.id, mark), one.task, event.payload, one.queue, one.priority,
                        at_most_once=one.at_most_once, gate=one.gate,
                    )
                )  # fmt: skip
        return FanOut(made, groups)

    def _find(self, topic: str) -> tuple[list[tuple[Subscription, int]], int]:
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        handlers: dict[tuple[str, str], Subscription] = {}
        for one in self._subscriptions:
            if matches(one.pattern, topic):
                handlers.setdefault((one.group, one.task), one)
        found = [(one, _mark(one)) for one in handlers.values()]
        self._known[topic] = answer = found, len({one.group for one, _ in found})
        return answer


class Routing:
    """The router of the subscriptions that were there last: it is made anew where they have changed."""

    def __init__(self) -> None:
        self._seen: Sequence[Subscription] = ()
        self._router = Router(())

    def of(self, subscriptions: Sequence[Subscription]) -> Router:
        """The router of these."""
        if subscriptions != self._seen:
            self._seen, self._router = subscriptions, Router(subscriptions)
        return self._router


def job_id(event: bytes, subscription: Subscription) -> bytes:
    """The id of the job that an event becomes for a handler: always the same, so that an event published again is stored once.

    Its time and its counter are the event's, so that jobs sort as their events do.
    """
    return _marked(event, _mark(subscription))


def _marked(event: bytes, mark: int) -> bytes:
    return (int.from_bytes(event, "big") ^ mark).to_bytes(16, "big")


def _mark(subscription: Subscription) -> int:
    """44 bits that tell the handlers of an event apart, where an id has random ones."""
    from hashlib import blake2b  # loads OpenSSL

    name = f"{subscription.group}\0{subscription.task}".encode("utf-8", "backslashreplace")
    digest = int.from_bytes(blake2b(name, digest_size=8, person=b"penstock").digest(), "big")
    return (digest & _TOP_MASK >> 64) << 64 | (digest >> 12 & _LOW_MASK) << _LOW_BITS


class Body(msgspec.Struct):
    """What the job of an event carries, as bytes: a map, where other jobs have an array of arguments."""

    topic: str
    event: msgspec.Raw

    @property
    def content(self) -> bytes:
        """The event, as msgpack."""
        return bytes(self.event)


class _JsonBody(msgspec.Struct):
    """The same as SQL writes it."""

    topic: str
    event: Any


_json_decoder = msgspec.json.Decoder(_JsonBody)
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Body)


def body(topic: str, event: bytes) -> bytes:
    """What the jobs of an event carry.

    Parameters:
        event: as msgpack.
    """
    return _encoder.encode(Body(topic, msgspec.Raw(event)))


def opened(payload: bytes) -> Body | None:
    """What an event's job carries; None for any other job."""
    try:
        if payload[:1] == b"\x82":  # a map of two
            return _decoder.decode(payload)
        if payload[:1] == b"{":
            found = _json_decoder.decode(payload)
            return Body(found.topic, msgspec.Raw(_encoder.encode(found.event)))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError):
        pass
    return None
