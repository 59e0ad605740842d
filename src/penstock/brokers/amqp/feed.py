"""Events on their way to programs that know nothing of Penstock: each is published once to a topic exchange, to which they bind queues of their own.

What other programs publish comes there by a binding between the two exchanges, so that whoever has bound a queue gets every event and none twice; nothing comes
back from there. The server says of a message that asks for it whether any queue takes it: of many events of one topic the first asks, and where nobody listens
the others are not sent. Who binds a queue while a publish runs may miss what it publishes, and nothing after it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

import msgspec

from penstock.brokers.amqp.drawing import Wires
from penstock.brokers.amqp.frames import Post, encoded
from penstock.brokers.amqp.layout import Layout
from penstock.brokers.amqp.link import pika
from penstock.brokers.amqp.names import Names
from penstock.core.ids import made_at
from penstock.core.sealed import unsealed
from penstock.core.topics import Event, opened

_JSON, _MSGPACK = "application/json", "application/msgpack"
#: What an event may be for which JSON has no form.
_UNFIT = (TypeError, ValueError, RecursionError, OverflowError, msgspec.MsgspecError)


class Feed:
    """What every queue that others have bound gets.

    Parameters:
        wires: the channels.
        names: of the namespace.
        layout: what is declared.
    """

    def __init__(self, wires: Wires, names: Names, layout: Layout) -> None:
        self._wires = wires
        self._names = names
        self._layout = layout

    def publish(self, events: Sequence[Event], store: Callable[[Sequence[Post]], set[str]]) -> None:
        """Send events to whoever listens, and have stored what else they become.

        Parameters:
            store: stores it, and sends some messages in the same breath; returns the keys of those among them that no queue takes.
        """
        self._layout.lead_out(self._wires()[1])
        topics: dict[str, list[Event]] = {}
        for event in events:
            topics.setdefault(event.topic, []).append(event)
        unheard = store([self._post(own[0], asks=len(own) > 1) for own in topics.values()])
        self._wires()[0].publish(
            [self._post(event) for topic, own in topics.items() if topic not in unheard for event in own[1:]]
        )

    def _post(self, event: Event, *, asks: bool = False) -> Post:
        body, kind = _written(event)
        made = made_at(event.id)
        told = pika.BasicProperties(
            delivery_mode=2, content_type=kind,
            message_id=str(UUID(bytes=event.id)) if made is not None else None,
            timestamp=int(made) if made is not None else None,
        )  # fmt: skip
        return Post(self._names.published, event.topic, body, encoded(told), asks)


def _written(event: Event) -> tuple[bytes, str]:
    """An event as others read it, and the type of that: JSON, or where that has no form for it msgpack."""
    payload = unsealed(event.payload)
    found = opened(payload)
    content = payload if found is None else found.content
    try:
        return msgspec.json.encode(msgspec.msgpack.decode(content)), _JSON
    except _UNFIT:
        return content, _MSGPACK
