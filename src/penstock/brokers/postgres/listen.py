"""Hearing of new work: LISTEN on a connection of its own, in a thread that survives what becomes of the connection."""

from __future__ import annotations

import random
import select
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from psycopg.rows import TupleRow

from penstock.brokers.listener import Listener
from penstock.brokers.postgres.wire import Wire
from penstock.errors import StoreError
from penstock.stores import postgres
from penstock.stores.statements import Statements

_PAUSE = 0.2
_LONGEST_PAUSE = 5.0
#: What a notification says that is for a job that is ready, and nothing else.
_READY = "ready"


@contextmanager
def listening(url: postgres.PostgresUrl, sql: Statements, listener: Listener) -> Iterator[None]:
    """Tell the listener from a thread when there may be work, while the context is open.

    The thread is armed while it waits: it holds a lock that enqueuers look at. Where nobody is idle it lets go of the lock, and enqueuers spare
    themselves the notification until the listener, who blocks as long, has been told.
    """
    ear = _WorkEar(url, sql, listener)
    ear.start()
    try:
        yield
    finally:
        ear.stop()


class Ear(ABC):
    """A thread with a connection that hears notifications, and comes back when that is lost."""

    def __init__(self, url: postgres.PostgresUrl, sql: Statements) -> None:
        self._url = url
        self._sql = sql
        self._stopping = threading.Event()
        self._listens = threading.Event()
        self._stopped, self._stop = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="penstock-listen", daemon=True)

    def start(self) -> None:
        """Start; returns when it listens, or has failed to for the first time."""
        self._thread.start()
        self._listens.wait(postgres.PATIENCE)

    def stop(self) -> None:
        """End. Where whoever is told blocks, the thread ends when that returns."""
        self._stopping.set()
        self._stop.close()
        self._thread.join(1.0)

    def _run(self) -> None:
        pause = 0.0
        with self._stopped:
            while not self._stopping.is_set():
                try:
                    connection = postgres.connect(self._url)
                    with connection, postgres.translating(self._url.shown):
                        self._hear(Wire(connection), again=pause > 0)
                except (StoreError, OSError):
                    # The broker that shares this store says what is wrong with it; here it is only tried again.
                    pause = min(_LONGEST_PAUSE, max(_PAUSE, pause * 2))
                self._listens.set()
                if pause:
                    self._stopping.wait(pause * random.uniform(0.5, 1.0))

    @abstractmethod
    def _hear(self, wire: Wire, *, again: bool) -> None:
        """Hear until told to stop, or the connection is lost.

        Parameters:
            again: there was another connection before, or a try to have one.
        """

    def _notified(self, wire: Wire) -> list[str]:
        """Wait for notifications; returns what they say, and nothing where it is to stop."""
        # What came along with the answer to a statement is read already: waiting for the socket would miss it.
        found = wire.heard()
        if not found:
            select.select([wire.connection.fileno(), self._stopped.fileno()], [], [])
            if not self._stopping.is_set():
                found = wire.heard()
        return found


class _WorkEar(Ear):
    def __init__(self, url: postgres.PostgresUrl, sql: Statements, listener: Listener) -> None:
        super().__init__(url, sql)
        self._listener = listener

    def _hear(self, wire: Wire, *, again: bool) -> None:
        wire.run(self._sql["listen"], {})
        seen = self._place(wire.run(self._sql["arm"], {}))
        self._listens.set()
        # What came while there was no connection was not heard.
        news = again
        while not self._stopping.is_set():
            words = [] if news else self._notified(wire)
            are_jobs = bool(words) and all(word == _READY for word in words)
            if are_jobs and self._listener.idle(0):
                # Before anything is asked of the server: letting go of the lock and taking it again took 0.2 of the 1.4 ms that a job waits for after its commit.
                self._listener.ready()
            elif news or words:
                # First: of what whoever is woken enqueues or gives back at once, the place must come after this one.
                before = self._place(wire.run(self._sql["disarm"], {}))
                if are_jobs:
                    self._listener.ready()
                else:
                    self._listener.wake()
                seen = self._place(wire.run(self._sql["arm"], {}))
                # What came in between was not announced to anybody.
                news = seen != before

    def _place(self, rows: Sequence[TupleRow]) -> object:
        return rows[0][1]
