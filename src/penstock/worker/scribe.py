"""Writes what running jobs note, in a thread of its own: an exception that is raised in a job, by its limits say, never meets a broker at work."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any

from penstock.brokers.base import Broker
from penstock.core.job import Lease
from penstock.core.memo import Memo
from penstock.core.outcome import Ending, Outcome
from penstock.errors import LeaseLost, StoreError, StoreUnavailable

#: Seconds between two writes of progress; what is said in between replaces itself.
_BETWEEN = 0.5
_SHORTEST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0


class _Request:
    """Something that a job waits for."""

    def __init__(self, act: Callable[[Broker], Any]) -> None:
        self.act = act
        self.answer: Any = None
        self.error: Exception | None = None
        self.done = threading.Event()

    def refuse(self) -> None:
        """Nobody will see to it: without an answer, a step would run again what has run already."""
        self.error = LeaseLost("the worker has stopped, and this job goes to another: it goes on there")
        self.done.set()


class Scribe:
    """The memos of the jobs of one process.

    Parameters:
        borrow: gives the broker that took the leases, for the caller alone while the context is open.
    """

    def __init__(self, borrow: Callable[[], AbstractContextManager[Broker]]) -> None:
        self._borrow = borrow
        self._news = threading.Condition()
        self._requests: deque[_Request] = deque()
        self._progress: dict[bytes, Memo] = {}
        self._progress_at = 0.0
        self._thread: threading.Thread | None = None
        self._closed = False
        #: The memos that jobs have which run or have run here, by the jobs' ids.
        self._kept: dict[bytes, set[bytes]] = {}

    def read(self, lease: Lease, id: bytes) -> bytes | None:
        """A memo; None where there is none."""
        self._note(lease, id)
        value: bytes | None = self._ask(lambda broker: broker.inspector().result(id))
        return value

    def keep(self, memo: Memo) -> None:
        """Store a memo; returns when it is. Waits for a store that is away.

        Raises:
            LeaseLost: another worker runs the job.
            StoreError: the store refuses.
        """
        self._note(memo.lease, memo.id)
        if self._ask(lambda broker: broker.memos().keep([memo])) != [True]:
            raise LeaseLost("this job was given to another worker, which does not hear of what this one does")

    def progress(self, memo: Memo) -> None:
        """Store how far a job is, soon; the last one counts."""
        self._note(memo.lease, memo.id)
        with self._news:
            self._progress[memo.id] = memo
            self._wake()

    def settled(self, broker: Broker, outcomes: Iterable[Outcome], stale: Sequence[Outcome]) -> None:
        """These endings are stored, but for those that came too late: jobs that are over need no memos any more. With the broker in hand."""
        if not self._kept:
            return
        late = {outcome.lease.id for outcome in stale}
        gone: list[bytes] = []
        for outcome in outcomes:
            kept = self._kept.pop(outcome.lease.id, None)
            # Dead letters may be retried, and so are items that leave their row; of what came too late, the memos are another's.
            left = outcome.lease.packed and outcome.follow_ups
            over = outcome.ending in (Ending.DONE, Ending.CANCELLED) and not left
            if kept is not None and over and outcome.lease.id not in late:
                gone += kept
        if gone:
            # They expire anyway.
            with suppress(StoreError):
                broker.memos().discard(gone)

    def close(self) -> None:
        """Stop: who waits is refused, since its job goes to another worker; what has not been written of progress is lost."""
        with self._news:
            self._closed = True
            waiting, self._requests = self._requests, deque()
            self._news.notify_all()
        for request in waiting:
            request.refuse()

    def _note(self, lease: Lease, id: bytes) -> None:
        self._kept.setdefault(lease.id, set()).add(id)

    def _ask(self, act: Callable[[Broker], Any]) -> Any:
        request = _Request(act)
        with self._news:
            if self._closed:
                request.refuse()
            else:
                self._requests.append(request)
                self._wake()
        request.done.wait()
        if request.error is not None:
            raise request.error
        return request.answer

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="penstock-scribe", daemon=True)
            self._thread.start()
        self._news.notify_all()

    def _run(self) -> None:
        while True:
            with self._news:
                while not (self._requests or self._closed or self._is_progress_due()):
                    left = self._progress_at - time.monotonic() if self._progress else None
                    self._news.wait(left)
                if self._closed:
                    return
                requests, self._requests = self._requests, deque()
                progress: list[Memo] = []
                if self._is_progress_due():
                    progress = list(self._progress.values())
                    self._progress.clear()
            for request in requests:
                self._serve(request)
            if progress:
                # It is told again, and of a store that is away others complain.
                with suppress(StoreError), self._borrow() as broker:
                    broker.memos().keep(progress)
                self._progress_at = time.monotonic() + _BETWEEN

    def _is_progress_due(self) -> bool:
        return bool(self._progress) and time.monotonic() >= self._progress_at

    def _serve(self, request: _Request) -> None:
        pause = _SHORTEST_PAUSE
        while not self._closed:
            try:
                with self._borrow() as broker:
                    request.answer = request.act(broker)
            except StoreUnavailable:
                # The job could not end now either. Its own limits hold while it waits.
                with self._news:
                    self._news.wait_for(lambda: self._closed, pause)
                pause = min(_LONGEST_PAUSE, pause * 2)
                continue
            except Exception as error:  # noqa: BLE001 - the job waits for an answer, whatever it is
                request.error = error
            request.done.set()
            return
        request.refuse()
