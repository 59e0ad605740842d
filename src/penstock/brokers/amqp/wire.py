"""What is said over a connection: messages that are confirmed, and what is declared and counted."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from penstock.brokers.amqp.frames import Post, encoded, pieces
from penstock.brokers.amqp.link import Link, pika
from penstock.brokers.amqp.trouble import translated
from penstock.errors import StoreError, StoreUnavailable

#: Messages of which the confirms are awaited together: unconfirmed, more of them lie in the server's memory.
_AT_ONCE = 2000
#: Seconds from a ring to the look of who heard it; and those in which a message must be safe that its ring goes with, so that nobody looks too soon.
LOOKED_AFTER, _SOON = 0.005, 0.004
#: Seconds for which messages share a ring: that much later it still has time to be heard before they are looked for.
_SHARED = 0.002
#: How often those are counted at most that were given back, until they are there.
_TIMES = 1000
#: What is told of a job, and of a message that may be lost with the server.
JOB = encoded(pika.BasicProperties(delivery_mode=2, content_type="application/msgpack"))
PASSING = encoded(pika.BasicProperties(delivery_mode=1))
_UNROUTED = 312
_LOCKED = 405


class Ring(NamedTuple):
    """A word for all who listen at a bell: there may be work."""

    bell: str
    word: bytes = b""


class Wire:
    """A channel whose messages are confirmed.

    Parameters:
        link: the connection.
        closed: called with the reason when the server closes the channel.
    """

    def __init__(self, link: Link, closed: Callable[[object], None]) -> None:
        self._link = link
        self._sent = 0
        #: The numbers of messages that are not confirmed yet, and one before which all are.
        self._open: set[int] = set()
        self._before = 1
        self._refused: list[int] = []
        self._returned: list[tuple[str, str]] = []
        self._aside: Any = None
        #: What is sent for a ring, and when it last was; there are few.
        self._words: dict[Ring, bytes] = {}
        self._rung_at: dict[Ring, float] = {}
        #: Why the server closed the channel, if it did.
        self.reason: object = None
        self._closed = closed
        self.channel = link.channel(self._end)
        selected: list[object] = []
        self.channel.confirm_delivery(self._confirmed, selected.append)
        self.channel.add_on_return_callback(self._came_back)
        self._wait(lambda: selected)

    @property
    def was_locked_out(self) -> bool:
        """Was it closed since another connection has for itself what was asked for?"""
        return getattr(self.reason, "reply_code", None) == _LOCKED

    @property
    def is_silent(self) -> bool:
        """Is nothing to be published by it, since the server would stop to read? See `Fullness`."""
        return self._link.was_blocked

    def _end(self, reason: object) -> None:
        self.reason = reason
        self._closed(reason)

    def _wait(self, until: Callable[[], object]) -> None:
        self._link.wait(lambda: until() or self.reason is not None)
        if self.reason is not None:
            raise translated(self.reason, self._link.url.shown)

    def publish(self, posts: Sequence[Post], ring: Ring | None = None) -> list[tuple[str, str]]:
        """Send messages, and wait until the server has them safe; returns the exchanges and keys of those that nobody takes and that were to be told of.

        Parameters:
            ring: for them. It goes with the last, for a call of the system of its own is an eighth of what a single message takes, or went with those a moment
                before; and once more when they are safe, if by then somebody may have looked.

        Raises:
            StoreUnavailable: the server has not taken all of them.
        """
        self._returned, self._refused = [], []
        for start in range(0, len(posts), _AT_ONCE):
            end = start + _AT_ONCE
            self._send(posts[start:end], ring if end >= len(posts) else None)
            self._wait(lambda: not self._open)
        if self._refused:
            raise StoreUnavailable(
                f"{self._link.url.shown}: the server did not take {len(self._refused)} messages, for want of a majority of its nodes "
                "or of room perhaps: try again"
            )
        if ring is not None and not self._was_rung(ring, _SOON):
            self.ring(ring)
        return self._returned

    def ring(self, ring: Ring) -> None:
        """Send a word that nobody need hear."""
        if not self.is_silent:
            self._link.send([self._rung(ring)])

    @property
    def _has_aside(self) -> bool:
        return self._aside is not None and bool(self._aside.is_open)

    def _was_rung(self, ring: Ring, seconds: float) -> bool:
        """Was a word sent so many seconds ago at most, as far as is known?"""
        return self._has_aside and time.monotonic() - self._rung_at.get(ring, -math.inf) < seconds

    def _rung(self, ring: Ring) -> bytes:
        # By a channel without confirms: each would be read and counted for nothing.
        if not self._has_aside:
            self._aside = self._link.channel(lambda _: None)
            self._words.clear()
        if ring not in self._words:
            post = Post(ring.bell, "", ring.word, PASSING, mandatory=False)
            self._words[ring] = b"".join(pieces([post], self._aside.channel_number, self._link.longest))
        self._rung_at[ring] = time.monotonic()
        return self._words[ring]

    def _send(self, posts: Sequence[Post], ring: Ring | None) -> None:
        rung = b"" if ring is None or self._was_rung(ring, _SHARED) else self._rung(ring)
        if not self.channel.is_open:
            raise pika.exceptions.ChannelWrongStateError("the channel is closed")
        first = self._sent + 1
        self._sent += len(posts)
        self._open.update(range(first, self._sent + 1))
        *parts, last = pieces(posts, self.channel.channel_number, self._link.longest)
        self._link.send([*parts, last + rung])

    def _confirmed(self, frame: Any) -> None:
        tag, method = frame.method.delivery_tag, frame.method
        if method.multiple:
            told = range(self._before, tag + 1)
            self._before = tag + 1
        else:
            told = range(tag, tag + 1)
        if method.NAME == "Basic.Nack":
            self._refused += self._open.intersection(told)
        self._open.difference_update(told)

    def _came_back(self, _channel: object, method: Any, _properties: object, _body: bytes) -> None:
        if method.reply_code == _UNROUTED:
            self._returned.append((method.exchange, method.routing_key))

    def ask(self, say: Callable[[Callable[[Any], None]], object]) -> Any:
        """Send a method, and wait for its answer."""
        answers: list[Any] = []
        say(answers.append)
        self._wait(lambda: answers)
        return answers[0]

    def queue(self, name: str, arguments: dict[str, Any]) -> bool:
        """Declare a queue; one that is there is left as it is. Returns whether it may be new: nothing is in it, and nobody takes from it."""
        answer = self.ask(
            lambda done: self.channel.queue_declare(name, durable=True, arguments=arguments, callback=done)
        )
        return not (answer.method.message_count or answer.method.consumer_count)

    def delete(self, name: str) -> None:
        """Delete a queue."""
        self.ask(lambda done: self.channel.queue_delete(name, callback=done))

    def exchange(self, name: str, kind: str) -> None:
        """Declare an exchange."""
        self.ask(lambda done: self.channel.exchange_declare(name, kind, durable=True, callback=done))

    def bind(self, queue: str, exchange: str, key: str) -> None:
        """Have an exchange route a key to a queue."""
        self.ask(lambda done: self.channel.queue_bind(queue, exchange, key, callback=done))

    def chain(self, target: str, source: str, key: str) -> None:
        """Have an exchange route a key to another exchange."""
        self.ask(lambda done: self.channel.exchange_bind(target, source, key, callback=done))

    def counts(self, names: Iterable[str]) -> list[int]:
        """How many messages wait in each queue."""
        answers: list[Any] = []
        wanted = list(names)
        for name in wanted:
            self.channel.queue_declare(name, passive=True, callback=answers.append)
        self._wait(lambda: len(answers) == len(wanted))
        return [int(answer.method.message_count) for answer in answers]

    def get(self, name: str) -> tuple[int, dict[str, Any] | None, bytes] | None:
        """The tag, headers and body of the first message of a queue, if there is one."""
        answers: list[Any] = []
        empty = pika.spec.Basic.GetEmpty
        self.channel.add_callback(lambda _: answers.append(None), [empty])
        self.channel.basic_get(
            name, lambda _, method, properties, body: answers.append((method.delivery_tag, properties.headers, body))
        )
        self._wait(lambda: answers)
        found: tuple[int, dict[str, Any] | None, bytes] | None = answers[0]
        return found

    def look(self, name: str) -> list[bytes]:
        """The messages of a queue of few that nobody else takes from; they stay in it."""
        bodies: list[bytes] = []
        tag = 0
        count = self.counts([name])[0]
        while len(bodies) < count and (found := self.get(name)) is not None:
            tag, _, body = found
            bodies.append(body)
        if bodies:
            self.channel.basic_nack(tag, multiple=True, requeue=True)
            # They are back when they are counted again.
            for _ in range(_TIMES):
                if self.counts([name])[0] >= len(bodies):
                    break
        return bodies

    def purge(self, name: str) -> int:
        """Delete what waits in a queue; returns how many."""
        return int(self.ask(lambda done: self.channel.queue_purge(name, done)).method.message_count)


def unroutable(shown: str, returned: Sequence[tuple[str, str]]) -> StoreError:
    """Messages that no queue takes, though it was declared a moment ago."""
    return StoreUnavailable(
        f"{shown}: {len(returned)} messages found no queue: something deletes queues; nothing of them is stored: try again"
    )
