"""Waking a worker: a queue of its own at the bell's exchange, and the backend's own way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from penstock.brokers.amqp.link import Link
from penstock.brokers.amqp.names import Names
from penstock.brokers.amqp.url import AmqpUrl
from penstock.brokers.amqp.wire import Wire
from penstock.brokers.base import Broker
from penstock.errors import StoreError

#: What a ring says that is not for messages. A message's end and its delay are RabbitMQ's business: there is nothing to do but to take it.
ASKED = b"asked"
_PAUSE = 0.5
#: Seconds from a ring to the wake: who stands by has had its job sent by then, and needs no other process to look for it in vain.
_AFTER = 0.005
#: Seconds of one wait for a ring.
_LOOK = 30.0


@contextmanager
def listening(
    url: AmqpUrl, names: Names, backend: Broker, wake: Callable[[], None], ready: Callable[[], None] | None
) -> Iterator[None]:
    """Call `wake` from a thread when there may be work, while the context is open, or `ready`; see `Broker.listen`."""
    listener = _Listener(url, names, wake, ready or wake)
    with ExitStack() as stack:
        stack.enter_context(backend.listen(wake, ready))
        listener.begin()
        thread = threading.Thread(target=listener.run, name="penstock-listen", daemon=True)
        thread.start()
        stack.callback(listener.stop)
        yield


class _Listener:
    def __init__(self, url: AmqpUrl, names: Names, wake: Callable[[], None], ready: Callable[[], None]) -> None:
        self._names = names
        self._wake = wake
        self._ready = ready
        self._rung = False
        # Has anybody rung for something else than messages?
        self._asked = False
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
        self._rung = self._asked = True

    def _ring(self, channel: Any, method: Any, _properties: object, body: bytes) -> None:
        channel.basic_ack(method.delivery_tag)
        self._rung = True
        self._asked |= body == ASKED

    def run(self) -> None:
        """Wait until told to stop."""
        self._rung = self._asked = False
        while not self._stopping.is_set():
            try:
                with self._link.held():
                    self._link.turn(lambda: self._rung or self._stopping.is_set(), _LOOK)
                    heard, self._rung = self._rung, False
                    asked, self._asked = self._asked, False
            except StoreError:
                self._stopping.wait(_PAUSE)
                continue
            if heard and not self._stopping.wait(_AFTER):
                (self._wake if asked else self._ready)()
        with suppress(StoreError):
            self._link.close()

    def stop(self) -> None:
        """Let the thread end, soon."""
        self._stopping.set()
        self._link.stir()
