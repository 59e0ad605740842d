"""Waking a worker by what MongoDB tells of new work: a change stream, or a tailable cursor where there are none."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from pymongo import CursorType
from pymongo.errors import OperationFailure, PyMongoError

from penstock.brokers.listener import Listener
from penstock.brokers.mongodb.documents import RING, rings_for_ready
from penstock.brokers.mongodb.layout import Layout
from penstock.stores.mongodb import translating

_log = logging.getLogger("penstock")
#: Milliseconds for which the server holds a question for news open.
_AWAIT = 1000
_PAUSE = 0.5
#: Seconds without an idle process after which a change stream is let go of. The server wakes for it at every write: two processes
#: drained no-op jobs 1.35 times as fast without (1.19 - 1.69).
_BUSY = 0.2
#: Seconds of one wait for an idle process after that.
_LOOK = 1.0
_DENIED = 13


class News(Protocol):
    """What a listener waits for."""

    def wait(self) -> bool:
        """Wait for a while; was there news?"""

    def is_ready(self) -> bool:
        """Was it of jobs that are ready, and of nothing else?"""
        return False

    def close(self) -> None:
        """Let go of the cursor."""


class _Stream(News):
    """The change stream of a replica set: jobs that ring, rings for what becomes ready again, and messages."""

    def __init__(self, layout: Layout) -> None:
        rings = [
            {"ns.coll": {"$in": [layout.bell.name, layout.inbox.name]}},
            {"ns.coll": layout.jobs.name, f"fullDocument.{RING}": True},
        ]
        wanted: list[dict[str, Any]] = [
            {"$match": {"operationType": "insert", "$or": rings}},
            {"$project": {f"fullDocument.{field}": 1 for field in ("state", "queue")}},
        ]
        self._stream = layout.database.watch(wanted, max_await_time_ms=_AWAIT)
        self._ready = False

    def wait(self) -> bool:
        change = self._stream.try_next()
        if change is not None:
            self._ready = rings_for_ready(change["fullDocument"])
        return change is not None

    def is_ready(self) -> bool:
        return self._ready

    def close(self) -> None:
        self._stream.close()


class _Tail(News):
    """A tailable cursor on rings in a capped collection. A cursor on an empty one would end at once."""

    def __init__(self, layout: Layout) -> None:
        own = layout.chime.insert_one({}).inserted_id
        self._cursor = layout.chime.find({}, cursor_type=CursorType.TAILABLE_AWAIT).max_await_time_ms(_AWAIT)
        while next(self._cursor, {"_id": own})["_id"] != own:
            pass

    def wait(self) -> bool:
        if next(self._cursor, None) is not None:
            return True
        if not self._cursor.alive:
            raise PyMongoError("the cursor was overtaken")
        return False

    def close(self) -> None:
        self._cursor.close()


@contextmanager
def listening(layout: Layout, shown: str, listener: Listener, *, replicated: bool) -> Iterator[None]:
    """Tell the listener from a thread when there may be work, while the context is open.

    Parameters:
        replicated: are there change streams? Only these cost anything while nobody rings.
    """

    def begin() -> News:
        return _Stream(layout) if replicated else _Tail(layout)

    try:
        with translating(shown):
            news = allowed(begin)
    except Denied:
        _log.warning("%s: this user may not watch for new work: idle workers poll (grant it readWrite)", shown)
        yield
        return
    if replicated:
        _log.info("%s is a replica set: a change stream wakes idle workers", shown)
    else:
        _log.info("%s stands alone: a tailable cursor wakes idle workers, and there are no transactions", shown)
    stopping = threading.Event()
    ear = Ear(begin, news, listener, stopping, is_costly=replicated)
    threading.Thread(target=ear.run, name="penstock-listen", daemon=True).start()
    try:
        yield
    finally:
        stopping.set()


class Denied(Exception):
    """The user may not."""


def allowed(begin: Callable[[], News]) -> News:
    """Begin to wait for news; `Denied` where the user may not."""
    try:
        return begin()
    except OperationFailure as error:
        if error.code == _DENIED:
            raise Denied from None
        raise


class Ear:
    """Waits for news, and begins anew when a connection or a primary is lost, or somebody is idle again.

    Parameters:
        is_costly: does it cost the server something that there is somebody who waits? Then nobody does while nobody is idle.
    """

    def __init__(
        self,
        begin: Callable[[], News],
        news: News,
        listener: Listener,
        stopping: threading.Event,
        *,
        is_costly: bool = False,
    ) -> None:
        self._begin = begin
        self._news: News | None = news
        self._listener = listener
        self._stopping = stopping
        self._is_costly = is_costly

    def run(self) -> None:
        """Wait until told to stop."""
        while not self._stopping.is_set():
            if self._is_costly and not self._listener.idle(_BUSY if self._news else _LOOK):
                self._let_go()
                continue
            try:
                if self._news is None:
                    self._news = self._begin()
                    # What was told in between went unheard.
                    self._listener.wake()
                if not self._news.wait() or self._stopping.is_set():
                    continue
                if self._news.is_ready():
                    self._listener.ready()
                else:
                    self._listener.wake()
            except PyMongoError:
                self._let_go()
                self._stopping.wait(_PAUSE)
        self._let_go()

    def _let_go(self) -> None:
        news, self._news = self._news, None
        if news is None:
            return
        try:
            news.close()
        except PyMongoError:
            # The client is closed, or the server gone: so is the cursor.
            return
