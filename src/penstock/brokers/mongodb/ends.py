"""Hearing of jobs that end: a tailable cursor on a capped collection, which endings write to while anybody is noted as one who waits."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from pymongo import CursorType
from pymongo.errors import PyMongoError

from penstock.brokers.listener import Waking
from penstock.brokers.mongodb.layout import Layout
from penstock.brokers.mongodb.listen import Denied, Ear, News, allowed
from penstock.stores.mongodb import translating
from penstock.stores.mongodb_clock import ServerClock

#: Milliseconds for which the server holds a question for news open.
_AWAIT = 1000
#: Seconds between two looks whether anybody waits. Who has begun to wait since the last one looks by itself.
_LOOK = 0.25
#: Seconds between two notes that one waits, and those for which a note holds.
_NOTE = 5.0
_HOLDS = 30.0


class Ends:
    """The ends of jobs of one namespace."""

    def __init__(self, layout: Layout, clock: ServerClock) -> None:
        self._layout = layout
        self._clock = clock
        self._look_at = 0.0
        self._watched = False

    def is_watched(self) -> bool:
        """Does anybody wait, as far as is known?"""
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + _LOOK
            alive = {"until": {"$gt": datetime.fromtimestamp(self._clock.now(), UTC)}}
            self._watched = self._layout.waits.find_one(alive, {"_id": 1}) is not None
        return self._watched

    def tell(self, ids: Sequence[bytes]) -> None:
        """Tell those who wait that jobs have ended; with no ids, any may have. Not in a transaction: it would be refused."""
        if self.is_watched():
            self._layout.ends.insert_one({"ids": list(ids)})


@contextmanager
def watching(layout: Layout, clock: ServerClock, shown: str, tell: Callable[[Sequence[bytes]], None]) -> Iterator[bool]:
    """See `Broker.watch_ends`."""
    name = secrets.token_hex(8)
    stopping = threading.Event()

    def tell_on(ids: Sequence[bytes]) -> None:
        # The thread ends with its next answer.
        if not stopping.is_set():
            tell(ids)

    def begin() -> _Tail:
        return _Tail(layout, clock, name, tell_on)

    try:
        with translating(shown):
            tail = allowed(begin)
    except Denied:
        yield False
        return
    ear = Ear(begin, tail, Waking(lambda: tell_on(())), stopping)
    threading.Thread(target=ear.run, name="penstock-ends", daemon=True).start()
    try:
        yield True
    finally:
        stopping.set()


class _Tail(News):
    """News of what has ended, which it tells itself. A cursor on an empty collection would end at once."""

    def __init__(self, layout: Layout, clock: ServerClock, name: str, tell: Callable[[Sequence[bytes]], None]) -> None:
        self._layout = layout
        self._clock = clock
        self._name = name
        self._tell = tell
        self._noted_at = 0.0
        self._note()
        own = layout.ends.insert_one({}).inserted_id
        self._cursor = layout.ends.find({}, cursor_type=CursorType.TAILABLE_AWAIT).max_await_time_ms(_AWAIT)
        while next(self._cursor, {"_id": own})["_id"] != own:
            pass

    def _note(self) -> None:
        now = time.monotonic()
        if now >= self._noted_at + _NOTE:
            until = datetime.fromtimestamp(self._clock.now() + _HOLDS, UTC)
            self._layout.waits.update_one({"_id": self._name}, {"$set": {"until": until}}, upsert=True)
            self._noted_at = now

    def wait(self) -> bool:
        """Wait for a while, and tell what is said; nothing is left for others to hear."""
        self._note()
        said = next(self._cursor, None)
        if said is not None:
            if "ids" in said:
                self._tell(said["ids"])
        elif not self._cursor.alive:
            raise PyMongoError("the cursor was overtaken")
        return False

    def close(self) -> None:
        """Let go of the cursor; nobody waits here any more."""
        self._cursor.close()
        self._layout.waits.delete_one({"_id": self._name})
