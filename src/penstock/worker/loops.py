"""Running async tasks from threads that are not: one event loop a thread, kept from job to job.

Imported when the first async task is called, since `asyncio` takes longer to load than all of Penstock.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from penstock.errors import TaskError


class Loops:
    """The event loops of the threads that ask for one."""

    def __init__(self) -> None:
        self._here = threading.local()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine to its end, in the context of the caller."""
        # Without a context of its own, each job would see the first one's.
        context = contextvars.copy_context()
        try:
            if _is_in_a_loop():
                with ThreadPoolExecutor(1) as thread:
                    return thread.submit(context.run, asyncio.run, coroutine).result()
            runner: asyncio.Runner | None = getattr(self._here, "runner", None)
            if runner is None:
                runner = self._here.runner = asyncio.Runner()
            return runner.run(coroutine, context=context)
        except asyncio.CancelledError as error:
            raise TaskError("the task's coroutine was cancelled") from error

    def close(self) -> None:
        """Close the calling thread's loop, if it has one."""
        runner: asyncio.Runner | None = getattr(self._here, "runner", None)
        if runner is not None:
            del self._here.runner
            runner.close()


def _is_in_a_loop() -> bool:
    """Does the thread run a loop already, as in a test that is async itself?"""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
