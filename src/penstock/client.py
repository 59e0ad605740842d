"""The way in: storing jobs, and asking what became of them. One client an app; safe in threads and after a fork."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from penstock.brokers import connect
from penstock.brokers.base import Broker
from penstock.brokers.inspect import BatchRecord, Ended, Inspector, Selection
from penstock.core.codec import decode_value
from penstock.core.ids import format_id, uuid7, uuid7s
from penstock.core.job import JobRecord, NewJob
from penstock.core.memo import PROGRESS, Progress, memo_id
from penstock.core.standing import Explanation, explain
from penstock.core.states import LIVE, State
from penstock.core.topics import Event
from penstock.core.workflow import CALLED_OFF
from penstock.endings import looked_up, refuse_unknown, value_of
from penstock.errors import (
    JobCancelled,
    JobFailed,
    JobMoved,
    MissingFeature,
    ResultTimeout,
    StoreUnavailable,
)
from penstock.gathering import Gathering
from penstock.waiting import Tell, Waiting

if TYPE_CHECKING:
    from penstock.core.signing import Signing

T = TypeVar("T")

#: Brokers of parent processes, kept so that a forked child's garbage collector doesn't close what it inherited.
_INHERITED: list[Broker] = []
#: Seconds within which a call fails that only met a connection which had broken since the last one.
_AT_ONCE = 1.0
_DEPTH_POLL = 0.005
_FOREVER = float("inf")
#: Jobs that are looked up together.
_TOGETHER = 500


class Client:
    """Stores jobs with a broker, and reads what became of them.

    Parameters:
        url: of the broker; connected at the first use.
        signing: signs what is stored.
    """

    def __init__(self, url: str, signing: Signing | None = None) -> None:
        self.url = url
        self.signing = signing
        self._broker: Broker | None = None
        self._owner = 0
        self._lock = threading.Lock()
        self._gathered = Gathering(self.enqueue)
        self._gathered_events = Gathering(self.publish)
        self._waiting = Waiting(self._watch_ends)
        #: Runs a job in the caller's thread instead of storing it: an app's inline mode.
        self.inline: Callable[[NewJob], None] | None = None
        #: Results of jobs that ran so; they were never stored.
        self.inline_results: dict[bytes, bytes | None] = {}

    @contextmanager
    def broker(self) -> Iterator[Broker]:
        """The open broker, for the caller alone until the context ends."""
        if self._owner != os.getpid():
            self._adopt()
        with self._lock:
            yield self._connected()

    def wait_for_room(self, queue: str, most: int) -> None:
        """Wait until no more jobs than so many are ready in a queue. Only workers make room: without one it waits for ever."""
        gate = threading.Event()
        while self.inline is None:
            with self.broker() as broker:
                if broker.depth(queue) <= most:
                    return
            gate.wait(_DEPTH_POLL)

    def _connected(self) -> Broker:
        if self._broker is None:
            broker = connect(self.url)
            broker.open()
            self._broker = broker
        return self._broker

    def _adopt(self) -> None:
        """Start anew in a forked child: the parent's connection and lock are the parent's."""
        if self._broker is not None:
            _INHERITED.append(self._broker)
        self._broker, self._lock, self._owner = None, threading.Lock(), os.getpid()
        self._gathered, self._gathered_events = Gathering(self.enqueue), Gathering(self.publish)
        self._waiting = Waiting(self._watch_ends)

    def _watch_ends(self, tell: Tell) -> AbstractContextManager[bool]:
        with self.broker() as broker:
            return broker.watch_ends(tell)

    @contextmanager
    def inspector(self) -> Iterator[Inspector]:
        """The reading side, for the caller alone until the context ends."""
        with self.broker() as broker:
            yield broker.inspector()

    def close(self) -> None:
        """Disconnect; the next use connects again."""
        self._waiting.close()
        self._waiting = Waiting(self._watch_ends)
        if self._broker is not None and self._owner == os.getpid():
            with self._lock:
                self._broker.close()
                self._broker = None

    def enqueue(self, jobs: Sequence[NewJob], tx: object | None = None) -> list[bytes]:
        """Store jobs, all or none; returns the ids that stand for them."""
        # As `broker()`, without the generator: what is sent one by one should cost little but the commit.
        if self._owner != os.getpid():
            self._adopt()
        if self.signing is not None:
            jobs = self.signing.jobs(jobs)
        began = time.monotonic()
        try:
            with self._lock:
                return self._connected().enqueue(jobs, tx=tx)
        except StoreUnavailable:
            if tx is not None or time.monotonic() - began > _AT_ONCE:
                raise
        # What was stored all the same is left as it is: the ids are the same.
        with self._lock:
            return self._connected().enqueue(jobs)

    async def enqueue_async(self, jobs: list[NewJob]) -> list[bytes]:
        """Store jobs without blocking the event loop; what other tasks store meanwhile shares the next commit."""
        if self._owner != os.getpid():
            self._adopt()
        return await self._gathered.send(jobs)

    def publish(self, events: Sequence[Event], tx: object | None = None) -> list[int]:
        """Store what events become for those who subscribe to them, all or none; returns how many groups get each."""
        if self.signing is not None:
            events = [self.signing.event(event) for event in events]
        return self.store(lambda broker: broker.publish(events, tx=tx), tx)

    def store(self, act: Callable[[Broker], T], tx: object | None = None) -> T:
        """Have the broker do something, and once more where the connection had broken since it was last used.

        Parameters:
            act: does no harm twice: what was stored all the same is left as it is, by its ids.
            tx: the transaction that it is done in, which is gone with its connection.
        """
        began = time.monotonic()
        try:
            with self.broker() as broker:
                return act(broker)
        except StoreUnavailable:
            if tx is not None or time.monotonic() - began > _AT_ONCE:
                raise
        with self.broker() as broker:
            return act(broker)

    async def publish_async(self, events: list[Event]) -> list[int]:
        """As `publish`, without blocking the event loop; what other tasks publish meanwhile shares the next commit."""
        if self._owner != os.getpid():
            self._adopt()
        return await self._gathered_events.send(events)

    def state(self, id: bytes) -> State:
        """Where a job is; one that is no longer stored counts as done."""
        if id in self.inline_results:
            return State.DONE
        record = self._read(lambda inspector: inspector.get(id))
        if record is None:
            self._refuse_moved(id)
            if not self._keeps_records() and self._read(lambda inspector: inspector.result(id)) is None:
                self.needs_records("a job that waits, has just started or has returned nothing is not known")
            return State.DONE
        return record.state

    def needs_records(self, why: str) -> None:
        """Refuse, where jobs are messages, what asks for more: `MissingFeature`."""
        if not self._keeps_records():
            raise MissingFeature(f"{self.url.partition(':')[0]}:// passes messages and keeps no records: {why}")

    def _keeps_records(self) -> bool:
        with self.broker() as broker:
            return broker.keeps_records

    def ended(self, id: bytes, kept: float = _FOREVER, *, known: bool = False) -> Ended | None:
        """How a job ended, or None while it has not; `JobFailed` and `JobCancelled` for those that ended so.

        Parameters:
            kept: seconds for which its result is kept; an older one that is stored nowhere is not known.
            known: it was seen before it ended, so it left nothing where there is nothing.

        Raises:
            UnknownJob: nothing tells whether it ended well and left nothing, or its result has expired, or it never was here.
        """
        if id in self.inline_results:
            return Ended(State.DONE, self.inline_results[id])
        value, record = self._read(partial(looked_up, id))
        if value is not None:
            return Ended(State.DONE, value)
        if record is None:
            self._refuse_moved(id)
            if not self._keeps_records():
                # A job that is a message is not known until it has left something.
                return None
            if not known:
                refuse_unknown(id, kept)
            return Ended(State.DONE)
        if record.state is State.DEAD:
            failure = record.failure
            raise JobFailed(str(failure), "" if failure is None else failure.traceback)
        if record.state is State.CANCELLED:
            why = record.failure
            raise JobCancelled(why.message if why is not None and why.kind == CALLED_OFF else "the job was cancelled")
        return None

    def wait(self, id: bytes, timeout: float | None, kept: float = _FOREVER) -> bytes | None:
        """Wait for a job's end; returns its encoded result, if it kept one.

        Parameters:
            timeout: in seconds; None waits for ever, 0 only looks.
            kept: as in `ended`, which says what is raised.
        """
        ended = self.ended(id, kept)
        if ended is None:
            news = threading.Event()
            with self._waiting.waiter([id], news.set):
                for pause in self._waiting.pauses(timeout):
                    news.wait(pause)
                    news.clear()
                    ended = self.ended(id, known=True)
                    if ended is not None:
                        break
        return value_of(ended, timeout)

    async def wait_async(self, id: bytes, kept: float = _FOREVER) -> bytes | None:
        """As `wait`, for ever and without blocking the event loop."""
        import asyncio  # as in gathering.py

        ended = await asyncio.to_thread(self.ended, id, kept)
        if ended is None:
            loop, news = asyncio.get_running_loop(), asyncio.Event()

            def wake() -> None:
                with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                    loop.call_soon_threadsafe(news.set)

            with self._waiting.waiter([id], wake):
                for pause in self._waiting.pauses(None):
                    with suppress(TimeoutError):
                        await asyncio.wait_for(news.wait(), pause)
                    news.clear()
                    ended = await asyncio.to_thread(self.ended, id, known=True)
                    if ended is not None:
                        break
        return value_of(ended, None)

    def ends(self, ids: Sequence[bytes], timeout: float | None) -> Iterator[bytes]:
        """The ids of jobs as they end, well or not; `ResultTimeout` where some have not after `timeout` seconds."""
        left = dict.fromkeys(ids)
        news = threading.Event()
        with self._waiting.waiter(list(left), news.set) as waiter:
            over = self._ended_among(list(left))
            pauses = self._waiting.pauses(timeout)
            while True:
                for id in over:
                    del left[id]
                    yield id
                if not left:
                    return
                pause = next(pauses, None)
                if pause is None:
                    raise ResultTimeout(f"{len(left):,} of the jobs did not end within {timeout:g} s")
                told = self._waiting.take(waiter) if news.wait(pause) else None
                news.clear()
                over = self._ended_among([id for id in left if told is None or id in told])

    def _ended_among(self, ids: Sequence[bytes]) -> list[bytes]:
        """Those of some jobs that have ended."""
        ended = [id for id in ids if id in self.inline_results]
        ids = [id for id in ids if id not in self.inline_results]
        if not self._keeps_records():
            return ended + [id for id in ids if self._has_left(id)]
        for start in range(0, len(ids), _TOGETHER):
            some = ids[start : start + _TOGETHER]
            chosen = Selection(ids=tuple(some))
            found = self._read(partial(_listed, chosen))
            live = {record.id for record in found if record.state in LIVE}
            ended += [id for id in some if id not in live]
        return ended

    def _has_left(self, id: bytes) -> bool:
        """Has a job that may be a message left a record of its end, or a result?"""
        record = self._read(lambda inspector: inspector.get(id))
        if record is not None:
            return record.state not in LIVE
        return self._read(lambda inspector: inspector.result(id)) is not None

    def progress(self, id: bytes) -> Progress | None:
        """How far a job said it was, last."""
        value = self._read(lambda inspector: inspector.result(memo_id(id, PROGRESS)))
        return None if value is None else decode_value(value, Progress)

    def explain(self, id: bytes) -> Explanation:
        """Why a job is not running."""
        from penstock.facts import (
            facts_of,  # with what it takes from workers, which a program that sends jobs does not need
        )

        return explain(self._read(lambda inspector: facts_of(inspector, id, time.time())))

    def batch(self, id: bytes) -> BatchRecord:
        """A batch's counters."""
        found = self._read(lambda inspector: inspector.batch(id))
        if found is None or found.total == 0:
            self._refuse_moved(id)
        return found or BatchRecord(id, 0, 0, 0, 0)

    def _refuse_moved(self, id: bytes) -> None:
        """What is not here may be elsewhere, and then nothing is known of it."""
        place = self._read(lambda inspector: inspector.moved_to(id))
        if place is not None:
            raise JobMoved(f"{format_id(id)} was moved to {place}: ask for it there")

    def wait_batch(self, id: bytes, timeout: float | None) -> BatchRecord:
        """Wait until no item of a batch is under way."""

        def look() -> tuple[BatchRecord, int]:
            record = self.batch(id)
            return record, record.left

        record = self.until_none_is_left(look, timeout)
        if record is None:
            raise ResultTimeout(f"the batch did not end within {timeout:g} s")
        return record

    def until_none_is_left(self, look: Callable[[], tuple[T, int]], timeout: float | None) -> T | None:
        """See `Waiting.until_none_is_left`."""
        return self._waiting.until_none_is_left(look, timeout)

    def _read(self, ask: Callable[[Inspector], T]) -> T:
        """Ask, and once more where the connection had broken since it was last used."""
        return self.store(lambda broker: ask(broker.inspector()))

    def cancel(self, selection: Selection) -> int:
        """Cancel jobs, and have those that run cancelled; returns how many of both."""
        with self.inspector() as inspector:
            return inspector.cancel(selection)

    def cancel_job(self, id: bytes) -> bool:
        """Cancel a job; False when it has ended."""
        if self.cancel(Selection(ids=(id,))):
            return True
        if self._read(lambda inspector: inspector.get(id)) is None and self._read(lambda one: one.result(id)) is None:
            self.needs_records(
                "a job that started some seconds ago is not told from one that has ended: try again, or give its task unique=True"
            )
        return False


def _listed(chosen: Selection, inspector: Inspector) -> Sequence[JobRecord]:
    return inspector.list(chosen, limit=_TOGETHER)


def new_id() -> bytes:
    """A fresh job id."""
    return uuid7(time.time_ns() // 1_000_000, os.urandom(10))


def new_ids(count: int) -> list[bytes]:
    """Fresh job ids, ascending."""
    return uuid7s(count, time.time_ns() // 1_000_000, os.urandom(10))
