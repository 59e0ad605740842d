"""One connection to RabbitMQ, driven by whoever calls; a thread that sleeps otherwise keeps it alive while nobody does.

pika's asynchronous connection is turned by hand here: its blocking one waits for the confirm of each message by itself.
"""

from __future__ import annotations

import logging
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from importlib import import_module
from itertools import chain
from types import TracebackType
from typing import Any

from penstock.brokers.amqp.trouble import translated
from penstock.brokers.amqp.url import AmqpUrl
from penstock.errors import ConfigError, MissingExtra, StoreError, StoreUnavailable

try:
    # It has no types to import.
    pika: Any = import_module("pika")
    select_connection: Any = import_module("pika.adapters.select_connection")
except ImportError:
    raise MissingExtra("amqp:// needs pika: pip install 'penstock[rabbitmq]'") from None

# What goes wrong is raised. pika would log it as well, and each step of every connection, unless the program has said what it may.
_log = logging.getLogger("pika")
if _log.level == logging.NOTSET:
    _log.setLevel(logging.CRITICAL)

#: Seconds that the client's loop sleeps, at most.
_SLEEP = 5.0
#: Seconds for a connection to be made, to one host.
_CONNECT = 10.0
#: Seconds in which the server must answer: more than an election of a queue's leader takes.
ANSWER = 60.0
_GOODBYE = 5.0
#: Seconds: an alarm of the server's memory comes and goes, which is how it slows who publishes.
_BLOCKED = 5.0
#: Times that the connection is looked at for each heartbeat of the server's.
_LOOKS = 6
_DRIVERS = (pika.exceptions.AMQPError, OSError)


class Held:
    """See `Link.held`. A class with two methods: of a message that is sent after a pause, two nested generators took 20 us."""

    __slots__ = ("_begin", "_end")

    def __init__(self, begin: Callable[[], None], end: Callable[[BaseException | None], None]) -> None:
        self._begin = begin
        self._end = end

    def __enter__(self) -> None:
        self._begin()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end(error)


class Link:
    """A connection, opened anew by the next use after it was lost. One thread at a time: `with link.held():`.

    Parameters:
        url: where to connect to.
        opened: called with each new connection, to make its channels.
        lost: called when there is no connection any more; what came by it is no longer ours.
        patience: seconds for which the server may read nothing, since it is low on memory or disk, until the connection is given up.
    """

    def __init__(
        self, url: AmqpUrl, opened: Callable[[], None], lost: Callable[[], None], *, patience: float = _BLOCKED
    ) -> None:
        self.url = url
        self._patience = patience
        #: When the server stopped to read, on the monotonic clock, and why.
        self._blocked: tuple[float, str] | None = None
        #: Was a connection given up for that? One that publishes nothing is read from all the same.
        self.was_blocked = False
        self._opened = opened
        self._lost = lost
        self._lock = threading.RLock()
        self._wanted = False
        self._connection: Any = None
        self._loop: Any = None
        self._reason: object = None
        self._ended = threading.Event()
        #: Set when the thread is to look: the connection has ended, or there is something to watch for.
        self._stirred = threading.Event()
        self._watched: tuple[Callable[[], object], Callable[[], None]] | None = None

    def open(self) -> None:
        """Connect, unless it is."""
        self._unwatch()
        with self._lock:
            self._wanted = True
            if self._connection is None:
                self._connect()

    def close(self) -> None:
        """Disconnect; may be called twice."""
        self._unwatch()
        with self._lock:
            self._wanted = False
            connection = self._connection
            if connection is not None:
                with suppress(Exception):
                    connection.close()
                    self.turn(lambda: connection.is_closed, _GOODBYE)
            self._drop()

    def held(self) -> Held:
        """Have the connection for oneself; what the client raises becomes a `StoreError`. Nothing is watched for from here on."""
        return Held(self._begin, self._end)

    def _begin(self) -> None:
        self._unwatch()
        self._lock.acquire()
        try:
            self._ensure()
        except BaseException:
            self._lock.release()
            raise

    def _end(self, error: BaseException | None) -> None:
        try:
            if isinstance(error, _DRIVERS):
                raise self._broken(error) from error
        finally:
            self._lock.release()

    def _ensure(self) -> None:
        if not self._wanted:
            raise StoreError(f"the queue {self.url.shown} is closed: call open() first")
        if self._connection is None or self._reason is not None:
            self._drop()
            self._connect()

    def _unwatch(self) -> None:
        watched, self._watched = self._watched, None
        if watched is not None:
            # The thread sleeps in the loop, and has the lock.
            self.stir()

    def stir(self) -> None:
        """Have whoever waits, in another thread, see whether what it waits for has become true."""
        loop = self._loop
        if loop is not None:
            # It may be closed at this moment; then nobody waits.
            with suppress(AttributeError, OSError):
                loop.add_callback_threadsafe(_nothing)

    def turn(self, until: Callable[[], object], seconds: float) -> bool:
        """Send and receive until something has become true; False after so many seconds without."""
        loop = self._loop
        if until():
            return True
        deadline = time.monotonic() + seconds
        # The loop sleeps until something comes; this ends its sleep, where it is not to last for as long as it ever does.
        alarm = loop.call_later(seconds, _nothing) if seconds < _SLEEP else None
        try:
            while True:
                self._step(loop)
                if until():
                    return True
                if self._reason is not None:
                    raise self._broken(self._reason)
                now = time.monotonic()
                if self._blocked is not None and now - self._blocked[0] >= self._patience:
                    self.was_blocked = True
                    raise self._broken(f"blocked: {self._blocked[1]}")
                if now >= deadline:
                    return False
        finally:
            if alarm is not None:
                loop.remove_timeout(alarm)

    def _step(self, loop: Any) -> None:
        try:
            loop.poll()
            loop.process_timeouts()
        except (ValueError, AssertionError) as error:
            # How the client says that a connection has ended while it was made.
            raise self._broken(error) from error

    def wait(self, until: Callable[[], object]) -> None:
        """As `turn`, for an answer that must come: without it the connection is given up."""
        if not self.turn(until, ANSWER):
            raise self._broken("no answer: timed out")

    @property
    def longest(self) -> int:
        """Bytes that a frame of a message's body may have."""
        found: int = self._connection._body_max_length
        return found

    def send(self, pieces: Iterable[bytes]) -> None:
        """Send frames: at once what the system takes at once, and the rest with the next wait."""
        connection = self._connection
        if not (self.url.encrypted or connection._get_write_buffer_size()):
            # The client has its loop look for a socket that may be written to, and look no more when it has: half of what it takes to send a single message.
            pieces = self._unsent(iter(pieces))
        connection._output_marshaled_frames(pieces)
        if connection._get_write_buffer_size():
            # As the loop would when it finds that it may be written, by three calls of the system more.
            connection._transport._on_socket_writable()

    def _unsent(self, pieces: Iterator[bytes]) -> Iterable[bytes]:
        """What is left of some pieces when the system has taken what it takes at once."""
        connection = self._connection
        for piece in pieces:
            try:
                sent = connection._transport._sock.send(piece)
            except BlockingIOError:
                sent = 0
            connection.bytes_sent += sent
            if sent < len(piece):
                return chain((piece[sent:],), pieces)
        return ()

    def watch(self, until: Callable[[], object], wake: Callable[[], None]) -> None:
        """Receive while nobody has the connection, and call `wake` from a thread when something has become true."""
        self._watched = until, wake
        self._stirred.set()

    def channel(self, closed: Callable[[object], None]) -> Any:
        """Open a channel.

        Parameters:
            closed: called with the reason when the server closes it.
        """
        opened: list[Any] = []
        channel = self._connection.channel(on_open_callback=opened.append)
        channel.add_on_close_callback(lambda _, reason: closed(reason))
        self.wait(lambda: opened)
        return channel

    def gave_up(self, reason: object) -> None:
        """A channel was closed that this connection is nothing without."""
        if self._reason is None:
            self._reason = reason

    @property
    def version(self) -> str:
        """Of the server."""
        properties: dict[str, Any] = self._connection.server_properties or {}
        return f"{properties.get('product', '')} {properties.get('version', '')}".strip()

    def _connect(self) -> None:
        failed: object = None
        for host, port in self.url.hosts:
            try:
                self._connect_to(host, port)
                self._opened()
            except (pika.exceptions.AMQPError, OSError) as error:
                failed = error
            except StoreUnavailable as error:
                failed = error
            except BaseException:
                self._drop()
                raise
            else:
                self._ended, self._stirred = threading.Event(), threading.Event()
                threading.Thread(
                    target=self._keep_alive, args=(self._ended, self._stirred), name="penstock-amqp", daemon=True
                ).start()
                return
            self._drop()
        if isinstance(failed, StoreError):
            raise failed
        raise translated(failed, self.url.shown)

    def _connect_to(self, host: str, port: int) -> None:
        url = self.url
        parameters = pika.ConnectionParameters(
            host, port, url.vhost, pika.PlainCredentials(url.user, url.password), heartbeat=url.heartbeat,
            socket_timeout=_CONNECT, stack_timeout=_CONNECT * 1.5,
            ssl_options=_tls(url, host) if url.encrypted else None, client_properties={"product": "Penstock"},
        )  # fmt: skip
        came: list[object] = []
        self._reason, self._blocked, self._loop = None, None, select_connection.IOLoop()
        self._loop.activate_poller()
        self._connection = select_connection.SelectConnection(
            parameters, came.append, lambda _, error: self.gave_up(error), lambda _, error: self.gave_up(error), self._loop
        )  # fmt: skip
        self._connection.add_on_connection_blocked_callback(lambda _, frame: self._stopped_reading(frame.method.reason))
        self._connection.add_on_connection_unblocked_callback(lambda *_: self._reads_again())
        if not self.turn(lambda: came, _CONNECT * 2):
            raise TimeoutError(f"connecting to {host} timed out")

    def _stopped_reading(self, why: object) -> None:
        self._blocked = time.monotonic(), str(why)
        # It ends the sleep of whoever waits for an answer that does not come.
        self._loop.call_later(self._patience, lambda: None)

    def _reads_again(self) -> None:
        self._blocked = None

    def _drop(self) -> None:
        """Let go of a connection, in whatever state it is."""
        self._ended.set()
        self._stirred.set()
        self._watched = None
        connection, loop = self._connection, self._loop
        self._connection = self._loop = None
        if connection is None:
            return
        with suppress(Exception):
            if connection.is_open:
                connection.close()
                for _ in range(3):
                    loop.call_later(0, lambda: None)
                    loop.poll()
                    loop.process_timeouts()
        transport = getattr(connection, "_transport", None)
        with suppress(Exception):
            if transport is not None:
                transport.abort()
                loop.call_later(0, lambda: None)
                loop.poll()
                loop.process_timeouts()
        with suppress(Exception):
            loop.deactivate_poller()
            loop.close()
        self._lost()

    def _broken(self, reason: object) -> StoreError:
        self.gave_up(reason)
        return translated(self._reason, self.url.shown)

    def _keep_alive(self, ended: threading.Event, stirred: threading.Event) -> None:
        """Answer the server's heartbeats while the owner is busy with a job, say; and receive for one who waits."""
        while not ended.is_set():
            stirred.wait(self.url.heartbeat / _LOOKS)
            stirred.clear()
            watch = self._watched
            if watch is not None:
                self._receive(watch)
            elif self._lock.acquire(blocking=False):
                self._turn_once(ended)

    def _receive(self, watch: tuple[Callable[[], object], Callable[[], None]]) -> None:
        until, wake = watch
        came = False
        with self._lock:
            try:
                while self._watched is watch and not came and self._reason is None:
                    came = self.turn(lambda: self._watched is not watch or until(), self.url.heartbeat)
            except (StoreError, pika.exceptions.AMQPError, OSError) as error:
                self.gave_up(error)
                came = True
            if came := came and self._watched is watch:
                self._watched = None
        if came:
            wake()

    def _turn_once(self, ended: threading.Event) -> None:
        try:
            if self._connection is not None and self._reason is None and not ended.is_set():
                self.turn(lambda: False, 0.0)
        except (StoreError, pika.exceptions.AMQPError, OSError) as error:
            self.gave_up(error)
        finally:
            self._lock.release()


def _nothing() -> None:
    """What is called to end the sleep of a loop."""


def _tls(url: AmqpUrl, host: str) -> Any:
    try:
        context = ssl.create_default_context(cafile=url.files.get("ca"))
        if "cert" in url.files:
            context.load_cert_chain(url.files["cert"], url.files.get("key"))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"{url.shown}: the files of ?ca=, ?cert= and ?key= can't be used: {error}") from None
    if not url.verified:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return pika.SSLOptions(context, host)
