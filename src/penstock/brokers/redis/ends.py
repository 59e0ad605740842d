"""Hearing of jobs that end: a list that a connection waits at, and that endings push to as long as its name is among those who wait."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import msgspec

from penstock.brokers.redis.link import Link
from penstock.errors import StoreError
from penstock.stores.redis import RedisUrl

#: Seconds for which one command waits, and those for which each says that somebody does.
_WAIT = 5
_WAITS = 30
#: Seconds in which an answer must come.
_ANSWER = 15.0
_PAUSE = 0.5
_ID = 16


@contextmanager
def watching(url: RedisUrl, tell: Callable[[Sequence[bytes]], None]) -> Iterator[bool]:
    """See `Broker.watch_ends`."""
    watcher = _Watcher(url, tell)
    watcher.begin()
    threading.Thread(target=watcher.run, name="penstock-ends", daemon=True).start()
    try:
        yield True
    finally:
        watcher.stop()


class _Watcher:
    def __init__(self, url: RedisUrl, tell: Callable[[Sequence[bytes]], None]) -> None:
        self._link = Link(msgspec.structs.replace(url, timeout=_ANSWER))
        self._url = url
        self._tell = tell
        self._name = secrets.token_hex(8)
        self._stopping = threading.Event()

    def begin(self) -> None:
        """Connect, and be told of what ends from here on."""
        self._link.open()
        self._arm()

    def _arm(self) -> None:
        self._link.run("ends_arm", self._name, _WAITS)

    def run(self) -> None:
        """Wait until told to stop."""
        while not self._stopping.is_set():
            try:
                said = self._link.ask("BLPOP", f"wait:{self._name}", _WAIT)
                if said is None:
                    self._arm()
                elif not self._stopping.is_set():
                    words = said[1]
                    self._tell([words[at : at + _ID] for at in range(0, len(words), _ID)])
            except StoreError:
                self._come_back()
        with suppress(StoreError):
            self._link.close()

    def _come_back(self) -> None:
        """Connect again; what has ended meanwhile was not heard."""
        with suppress(StoreError):
            self._link.close()
        self._stopping.wait(_PAUSE)
        with suppress(StoreError):
            self.begin()
            self._tell(())

    def stop(self) -> None:
        """Let the thread end, which waits for its server yet."""
        self._stopping.set()
        link = Link(self._url)
        with suppress(StoreError):
            link.open()
            link.run("ends_disarm", self._name)
            link.close()
