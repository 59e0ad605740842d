"""Running async tasks: in an event loop of the thread, where it has none, and so that they can be interrupted.

Imported when the first async task is called, since `asyncio` takes longer to load than all of Penstock.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import coroutine
from typing import Any

from penstock.errors import TaskError

_here = threading.local()


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine to its end, in the context of the caller and in the thread's own loop, kept from job to job."""
    # Without a context of its own, each job would see the first one's.
    context = contextvars.copy_context()
    if _is_in_a_loop():
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(context.run, asyncio.run, coroutine).result()
    runner: asyncio.Runner | None = getattr(_here, "runner", None)
    if runner is None:
        runner = _here.runner = asyncio.Runner()
    return runner.run(coroutine, context=context)


def close() -> None:
    """Close the calling thread's loop, if it has one."""
    runner: asyncio.Runner | None = getattr(_here, "runner", None)
    if runner is not None:
        del _here.runner
        runner.close()


class Guide:
    """Takes a user's coroutine to its end, and can raise an error in it where it waits.

    Parameters:
        user: the coroutine; `run` is awaited in the loop that it is to run in, at once.
    """

    def __init__(self, user: Coroutine[Any, Any, Any]) -> None:
        self._user = user
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._error: BaseException | None = None
        self._ended = False

    async def run(self) -> Any:
        """What the coroutine returns or raises."""
        try:
            return await self._steps()
        except asyncio.CancelledError as error:
            raise TaskError("the task's coroutine was cancelled") from error
        finally:
            self._ended = True

    def interrupt(self, error: BaseException, claim: Callable[[], bool]) -> None:
        """Raise an error where the coroutine waits, if `claim` says so just then. Safe from any thread."""
        with suppress(RuntimeError):  # the loop is closed: so it has ended
            self._loop.call_soon_threadsafe(self._throw, error, claim)

    def _throw(self, error: BaseException, claim: Callable[[], bool]) -> None:
        if not self._ended and self._error is None and self._task is not None and claim():
            self._error = error
            # It cancels what the coroutine waits for; the cancellation itself goes no further than `_steps`.
            self._task.cancel()

    @coroutine
    def _steps(self) -> Generator[Any, Any, Any]:
        """As `await user`, but that a cancellation which `_throw` asked for arrives as its error."""
        try:
            awaited = self._user.send(None)
            while True:
                try:
                    sent = yield awaited
                except BaseException as raised:  # noqa: BLE001
                    awaited = self._user.throw(self._in_place_of(raised))
                else:
                    awaited = self._user.send(sent)
        except StopIteration as stop:
            return stop.value

    def _in_place_of(self, raised: BaseException) -> BaseException:
        error, self._error = self._error, None
        if error is None or not isinstance(raised, asyncio.CancelledError):
            return raised
        if self._task is not None:
            self._task.uncancel()
        return error


def _is_in_a_loop() -> bool:
    """Does the thread run a loop already, as in a test that is async itself?"""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
