"""What coroutines store at the same time, in shared commits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    import asyncio

S = TypeVar("S")
R = TypeVar("R")


class _Waiting(NamedTuple):
    """What a coroutine wants stored, its loop, and what it waits for."""

    items: list[Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[list[Any]]


class Gathering(Generic[S, R]):
    """Stores without blocking event loops; what comes while a commit is under way shares the next one.

    Parameters:
        store: stores all items or none, and returns something for each, in their order. Called from a thread.
    """

    def __init__(self, store: Callable[[list[S]], list[R]]) -> None:
        self._store = store
        self._waiting: list[_Waiting] = []
        self._flushing = False
        self._lock = threading.Lock()

    async def send(self, items: list[S]) -> list[R]:
        """Store items, all or none; returns what `store` returns for them, and raises what it raises."""
        # A program that awaits has loaded asyncio; one that does not should not pay for it (20 ms).
        import asyncio

        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[R]] = loop.create_future()
        with self._lock:
            self._waiting.append(_Waiting(items, loop, future))
            start, self._flushing = not self._flushing, True
        if start:
            try:
                loop.run_in_executor(None, self._flush)
            except RuntimeError:  # the loop shuts down
                self._flush()
        return await future

    def _flush(self) -> None:
        """Commit what has gathered, until nothing gathers any more; runs in a thread."""
        while True:
            with self._lock:
                gathered, self._waiting = self._waiting, []
                if not gathered:
                    self._flushing = False
                    return
            try:
                stored = self._store([item for waiting in gathered for item in waiting.items])
            except Exception as error:
                if len(gathered) == 1:
                    _tell(gathered[0], _fail, error)
                else:
                    self._flush_each(gathered)
                continue
            start = 0
            for waiting in gathered:
                count = len(waiting.items)
                _tell(waiting, _finish, stored[start : start + count])
                start += count

    def _flush_each(self, gathered: list[_Waiting]) -> None:
        """The group was refused, perhaps for one of them: commit each by itself."""
        for waiting in gathered:
            try:
                stored = self._store(waiting.items)
            except Exception as error:
                _tell(waiting, _fail, error)
            else:
                _tell(waiting, _finish, stored)


def _tell(waiting: _Waiting, what: Callable[[asyncio.Future[list[Any]], Any], None], news: Any) -> None:
    with suppress(RuntimeError):  # its loop is closed: nobody waits any more
        waiting.loop.call_soon_threadsafe(what, waiting.future, news)


def _finish(future: asyncio.Future[list[Any]], stored: list[Any]) -> None:
    if not future.done():
        future.set_result(stored)


def _fail(future: asyncio.Future[list[Any]], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
