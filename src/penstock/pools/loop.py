"""An event loop in a thread of its own, for the pools that run coroutines."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any

_PATIENCE = 0.05


class LoopThread:
    """An event loop that runs as long as its process; in a greenlet, where threads have been made into those.

    Parameters:
        fast: use uvloop, where it is installed.
    """

    def __init__(self, *, fast: bool = True) -> None:
        self.loop = _fast_loop() if fast else asyncio.new_event_loop()
        # The loop itself keeps only weak references to its tasks.
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = threading.Event()
        threading.Thread(target=self._run, name="penstock-loop", daemon=True).start()

    def create(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine, in a context of its own; called in the loop."""
        task = self.loop.create_task(coroutine, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def call(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call a function in the loop, soon. Safe from any thread."""
        self.loop.call_soon_threadsafe(function, *arguments)

    def responds(self) -> bool:
        """Does the loop come to what it is asked to do?"""
        answered = threading.Event()
        self.call(answered.set)
        return answered.wait(_PATIENCE)

    def close(self) -> None:
        """Stop the loop; nothing may run in it any more."""
        self.call(self.loop.stop)
        self._stopped.wait()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        self._stopped.set()


def _fast_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
