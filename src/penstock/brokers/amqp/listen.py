"""Waking a worker: a queue of its own at the bell's exchange, and the backend's own way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from penstock.brokers.amqp.link import Link
from penstock.brokers.amqp.names import Names
from penstock.brokers.amqp.url import AmqpUrl
from penstock.brokers.amqp.wire import LOOKED_AFTER, Wire
from penstock.brokers.base import Broker
from penstock.brokers.listener import Listener
from penstock.errors import StoreError

#: What a ring says that is not for messages, and one that is for messages of lanes which may be new to a worker. Without a word it is for others: who stands by is
#: sent them. A message's end and its delay are RabbitMQ's business: there is nothing to do but to take it.
ASKED, FRESH = b"asked", b"fresh"
_PAUSE = 0.5
#: Seconds of one wait for a ring.
_LOOK = 30.0


@contextmanager
def listening(url: AmqpUrl, names: Names, backend: Broker, listener: Listener) -> Iterator[None]:
    """Tell the listener from a thread when there may be work, while the context is open."""
    ear = _Ear(url, names, {ASKED: listener.wake, FRESH: listener.ready, b"": listener.sent})
    with ExitStack() as stack:
        stack.enter_context(backend.listen(listener))
        ear.begin()
        thread = threading.Thread(target=ear.run, name="penstock-listen", daemon=True)
        thread.start()
        stack.callback(ear.stop)
        yield


class _Ear:
    def __init__(self, url: AmqpUrl, names: Names, tell: Mapping[bytes, Callable[[], None]]) -> None:
        self._names = names
        # By what a ring says, what asks for more first.
        self._tell = tell
        self._rung: set[bytes] = set()
        self._stopping = threading.Event()
        self._link = Link(url, self._opened, lambda: None)

    def begin(self) -> None:
        """Connect, and hear of what comes from here on."""
        self._link.open()

    def _opened(self) -> None:
        wire = Wire(self._link, self._link.gave_up)
        wire.exchange(self._names.bell, "fanout")
        # One ring is as good as many: what comes while nobody is idle to hear it is one.
        declared: Any = wire.ask(
            lambda done: wire.channel.queue_declare(
                "", exclusive=True, auto_delete=True, arguments={"x-max-length": 1}, callback=done
            )
        )
        queue = declared.method.queue
        wire.bind(queue, self._names.bell, "")
        wire.channel.add_on_cancel_callback(self._link.gave_up)
        wire.channel.basic_qos(prefetch_count=1)
        wire.ask(lambda done: wire.channel.basic_consume(queue, self._ring, callback=done))
        # Whatever came while there was no connection went unheard.
        self._rung.add(ASKED)

    def _ring(self, channel: Any, method: Any, _properties: object, body: bytes) -> None:
        channel.basic_ack(method.delivery_tag)
        # What a later version says may be anything.
        self._rung.add(body if body in self._tell else ASKED)

    def run(self) -> None:
        """Wait until told to stop."""
        self._rung.clear()
        while not self._stopping.is_set():
            try:
                with self._link.held():
                    self._link.turn(lambda: self._rung or self._stopping.is_set(), _LOOK)
                    heard, self._rung = self._rung, set()
            except StoreError:
                self._stopping.wait(_PAUSE)
                continue
            # Who stands by has had its job sent by then, and needs no other process to look for it in vain.
            if heard and not self._stopping.wait(LOOKED_AFTER):
                next(tell for word, tell in self._tell.items() if word in heard)()
        with suppress(StoreError):
            self._link.close()

    def stop(self) -> None:
        """Let the thread end, soon."""
        self._stopping.set()
        self._link.stir()
