"""Topics: where events are published."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from penstock.client import Client, new_id, new_ids
from penstock.core.codec import encode_value
from penstock.core.topics import Event, Router, Subscription, body, check_topic
from penstock.task import chunks

T = TypeVar("T")

#: Events of `publish_many` that are stored in one commit.
_PER_COMMIT = 1000


class Topic(Generic[T]):
    """What events are published about. Made by `app.topic`; it costs nothing, and keeps nothing in the store.

    Parameters:
        name: words with dots between them.
        find_client: finds the client that events go through.
        own: the subscriptions of the app itself, which its inline mode runs.

    Raises:
        ConfigError: that is no name.
    """

    __slots__ = ("_find_client", "_own", "name")

    def __init__(
        self, name: str, find_client: Callable[[], Client], own: Callable[[], Sequence[Subscription]] = tuple
    ) -> None:
        self.name = check_topic(name)
        self._find_client = find_client
        self._own = own

    def publish(self, event: T, *, tx: object | None = None) -> int:
        """Store a job of this event for each handler that subscribes to the topic, all or none.

        Parameters:
            event: anything that can be an argument of a task.
            tx: a connection of your own whose transaction the event is published in.

        Returns:
            How many groups get it; an event that nobody subscribes to is dropped.

        Raises:
            TypeError: the event can't be encoded.
            StoreError: the broker refused; nothing was stored.
        """
        return self._publish([self._event(event, new_id())], tx)[0]

    def publish_many(self, events: Iterable[T], *, tx: object | None = None) -> list[int]:
        """Publish events in few commits, each of them whole; returns how many groups get each."""
        counts: list[int] = []
        for chunk in chunks(events, _PER_COMMIT):
            ids = new_ids(len(chunk))
            counts += self._publish([self._event(event, id) for event, id in zip(chunk, ids, strict=True)], tx)
        return counts

    async def publish_async(self, event: T, *, tx: object | None = None) -> int:
        """As `publish`, without blocking the event loop; concurrent calls share commits."""
        made = [self._event(event, new_id())]
        client = self._find_client()
        if client.inline is not None or tx is not None:
            return self._publish(made, tx)[0]
        return (await client.publish_async(made))[0]

    def _event(self, event: T, id: bytes) -> Event:
        try:
            return Event(id, self.name, body(self.name, encode_value(event)))
        except TypeError as error:
            raise TypeError(f"{self.name}: the event can't be encoded: {error}") from None

    def _publish(self, events: Sequence[Event], tx: object | None) -> list[int]:
        client = self._find_client()
        if client.inline is None:
            return client.publish(events, tx)
        out = Router(self._own()).fan_out(events)
        for job in out.jobs:
            client.inline(job)
        return out.groups

    def __repr__(self) -> str:
        return f"<Topic {self.name}>"
