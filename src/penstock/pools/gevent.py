"""Slots that are greenlets of one thread: for jobs that wait, in code that knows nothing of it.

The standard library is patched before anything else is imported (`penstock.cli.boot`), so that whoever waits for a
socket, a lock or the time lets the others run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from penstock.core.job import Lease
from penstock.core.outcome import Outcome
from penstock.errors import MissingExtra
from penstock.pools.base import Work, always
from penstock.pools.frames import runs_user_code
from penstock.pools.slots import SlotsPool

if TYPE_CHECKING:
    from penstock.pools.loop import LoopThread

try:
    import gevent
    import gevent.event
except ImportError:
    raise MissingExtra("the pool gevent needs gevent: pip install 'penstock[gevent]'") from None


class GeventPool(SlotsPool):
    """Greenlets, made as they are needed; each ends when nothing waits for its slot any more."""

    errors = (gevent.Timeout, gevent.GreenletExit)

    def __init__(
        self, slots: int, work: Work, done: Callable[[Outcome], None], started: Callable[[int, Lease | None], bool]
    ) -> None:
        super().__init__(slots, work, done, started)
        self._greenlets: dict[int, gevent.Greenlet[..., None]] = {}
        self._hub = gevent.get_hub()
        self._loop: LoopThread | None = None
        self._making = threading.Lock()

    def close(self) -> None:
        """See `Pool.close`."""
        super().close()
        if self._loop is not None:
            self._loop.close()

    def _begin(self, starts: Sequence[tuple[int, Lease]]) -> None:
        for slot, lease in starts:
            self._greenlets[slot] = gevent.spawn(self._serve, slot, lease)

    def _serve(self, slot: int, lease: Lease) -> None:
        following: Lease | None = lease
        while following is not None:
            lease = following
            declined = self._started(slot, lease)
            run = self._run_in_loop if self._work.is_async(lease) else self._work.run
            following = self._next(slot, lease, None if declined else run(lease, slot))

    def _run_in_loop(self, lease: Lease, slot: int) -> Outcome:
        """Run an async task: in a loop that is a greenlet like the others, since one thread has one loop."""
        loop = self._shared_loop()
        outcomes: list[Outcome] = []
        ended = gevent.event.Event()

        async def run() -> None:
            outcomes.append(await self._work.run_async(lease, slot))
            ended.set()

        loop.call(loop.create, run())
        ended.wait()
        return outcomes[0]

    def _shared_loop(self) -> LoopThread:
        # Making one lets other greenlets run, which then want one, too.
        with self._making:
            if self._loop is None:
                from penstock.pools.loop import LoopThread

                # uvloop waits in C, where no other greenlet would run.
                self._loop = LoopThread(fast=False)
            return self._loop

    def interrupt(self, lease: Lease, error: BaseException, claim: Callable[[], bool] = always) -> bool:
        """See `Pool.interrupt`: when the greenlet waits; one that computes does not let go, and meets its hard limit."""
        slot = self.slot_of(lease)
        if slot is None:
            return False
        self._hub.loop.run_callback_threadsafe(self._throw, slot, lease, error, claim)
        return True

    def _throw(self, slot: int, lease: Lease, error: BaseException, claim: Callable[[], bool]) -> None:
        """In the hub, where no greenlet gets ahead between the look and the throw."""
        waiting = self._greenlets.get(slot)
        if waiting is not None and self._current.get(slot) is lease and runs_user_code(waiting.gr_frame) and claim():
            waiting.throw(error)
