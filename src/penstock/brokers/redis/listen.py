"""Waking a worker by a list that its connection waits at: whoever stores work pushes to the lists of those that wait, and to no other."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import msgspec

from penstock.brokers.listener import Listener
from penstock.brokers.redis.link import Link
from penstock.errors import StoreError
from penstock.stores.redis import RedisUrl

#: Seconds for which one command waits. A server that was restarted has forgotten who waits, and is told again after so long.
_WAIT = 5
#: Seconds in which an answer must come, that much longer.
_ANSWER = 15.0
_PAUSE = 0.5


@contextmanager
def listening(url: RedisUrl, listener: Listener) -> Iterator[None]:
    """Tell the listener from a thread when there may be work, while the context is open."""
    ear = _Ear(url, listener)
    ear.begin()
    thread = threading.Thread(target=ear.run, name="penstock-listen", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ear.stop()


class _Ear:
    def __init__(self, url: RedisUrl, listener: Listener) -> None:
        self._link = Link(msgspec.structs.replace(url, timeout=_ANSWER))
        self._url = url
        self._listener = listener
        self._name = secrets.token_hex(8)
        self._heard = -1
        self._stopping = threading.Event()

    def begin(self) -> None:
        """Connect, and wait for rings from here on."""
        self._link.open()
        while not self._armed():
            pass

    def _armed(self) -> bool:
        """Ask to be rung for; False where there was a ring since the last one heard."""
        number = int(self._link.run("arm", self._name, self._heard))
        before, self._heard = self._heard, number
        return number == before

    def run(self) -> None:
        """Wait until told to stop."""
        while not self._stopping.is_set():
            try:
                # What rang while nobody was idle to hear it is heard now.
                while not self._stopping.is_set() and not self._armed():
                    self._tell()
                rung = self._link.ask("BLPOP", f"bell:{self._name}", _WAIT)
                if rung is not None:
                    self._heard = max(self._heard, int(rung[1]))
                    self._tell()
            except StoreError:
                # Whatever rings until it listens again goes unheard.
                self._heard = -1
                with suppress(StoreError):
                    self._link.close()
                self._stopping.wait(_PAUSE)
                with suppress(StoreError):
                    self._link.open()
        with suppress(StoreError):
            self._link.close()

    def _tell(self) -> None:
        if not self._stopping.is_set():
            self._listener.wake()

    def stop(self) -> None:
        """Let the thread end, which waits for its server yet."""
        self._stopping.set()
        link = Link(self._url)
        with suppress(StoreError):
            link.open()
            link.run("disarm", self._name)
            link.close()
