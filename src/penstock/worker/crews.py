"""All processes of a worker, lane by lane, as more than one thread asks for them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

from penstock.brokers.inspect import LaneRecord, RunningJob
from penstock.core.metrics import Figures, bounded, plus, without_holdings
from penstock.worker import link as message
from penstock.worker.child import Child
from penstock.worker.crew import Crew, LaneState
from penstock.worker.lane import Lane

#: Pairs of a task and a queue of which processes that are gone have figures of their own.
_MOST_TASKS = 256


class Crews:
    """A crew for each lane.

    The supervisor's thread alone adds, removes and looks without more ado; what other threads may call says so.
    """

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._crews = [Crew(index, lane) for index, lane in enumerate(lanes)]
        self._lock = threading.Lock()
        # When the worker has beaten last, and for how long it may be silent.
        self._beaten: tuple[float, float] | None = None
        # Of processes that have become idle. One is woken under its lock: by two threads at once none is woken twice, and no ring is lost between them.
        self._idlers = threading.Condition(self._lock)
        self._released = False
        # In processes that are gone.
        self._ended_before = 0
        self._figures_before = Figures()

    def __iter__(self) -> Iterator[Crew]:
        return iter(self._crews)

    def __getitem__(self, lane: int) -> Crew:
        return self._crews[lane]

    def of(self, child: Child) -> Crew:
        """The crew that a process belongs to."""
        return self._crews[child.lane]

    @property
    def children(self) -> list[Child]:
        """Every process there is."""
        return [child for crew in self._crews for child in crew.members.values()]

    def lacking(self, now: float, *, one_first: bool) -> list[Crew]:
        """A crew for each process that is to be started.

        Parameters:
            now: in monotonic seconds.
            one_first: none has come up yet. An app that can't be started then says so once, and not once a process.
        """
        lacking = [crew for crew in self._crews for _ in range(crew.lacking(now))]
        return lacking[: 0 if self.children else 1] if one_first else lacking

    def child(self, number: int) -> Child | None:
        """The process of a number, if there still is one."""
        return next((crew.members[number] for crew in self._crews if number in crew.members), None)

    def has(self, child: Child) -> bool:
        """Is a process still there?"""
        return child.number in self.of(child).members

    def add(self, child: Child) -> None:
        """A process was started."""
        with self._lock:
            self.of(child).members[child.number] = child
            if self._beaten is not None:
                # Before the next beat, it may be frozen with what it has taken.
                child.board.beat(*self._beaten)

    def remove(self, child: Child) -> None:
        """A process is gone."""
        with self._lock:
            self._ended_before += child.board.ended
            gone = without_holdings(child.board.counters.read())
            self._figures_before = bounded(plus(self._figures_before, gone), _MOST_TASKS)
            del self.of(child).members[child.number]
            child.board.close()

    def wake_one(self) -> None:
        """There may be work: have one process look that found nothing the last time. Safe from any thread."""
        with self._lock:
            self._wake_one()

    def wake_together(self, most: int) -> None:
        """There is work for so many processes: have those look for it that found none the last time. Safe from any thread."""
        with self._lock:
            for others in range(most):
                if not self._wake_one(others):
                    return

    def _wake_one(self, others: int = 0, *, sent: bool = False) -> bool:
        resting = [child for child in self.children if child.resting]
        child = next((child for child in resting if not (sent and child.stands_by)), None)
        if child is None:
            return bool(resting)
        child.idle = False
        child.tell(message.AMONG + others.to_bytes(message.NUMBER_SIZE) if others else message.WAKE)
        return True

    def _any_resting(self) -> bool:
        return any(child.resting for child in self.children)

    def show_idle(self) -> None:
        """Let those know who wait for an idle process if there is one."""
        with self._idlers:
            if self._any_resting():
                self._idlers.notify_all()

    def wake_when_idle(self, *, sent: bool = False) -> None:
        """As `wake_one`, once a process is idle; or return when `release` was called. Safe from any thread.

        Parameters:
            sent: all that is new is sent to those who stand by, and they are not woken for it.
        """
        with self._idlers:
            self._idlers.wait_for(lambda: self._wake_one(sent=sent) or self._released)

    def wait_for_idle(self, seconds: float) -> bool:
        """Wait until a process is idle, at most so long, or `release` was called; is it so? Safe from any thread."""
        with self._idlers:
            return self._idlers.wait_for(lambda: self._released or self._any_resting(), seconds)

    def release(self) -> None:
        """Nobody waits any more."""
        with self._idlers:
            self._released = True
            self._idlers.notify_all()

    def running(self) -> tuple[RunningJob, ...]:
        """What runs in all processes. Safe from any thread."""
        with self._lock:
            return tuple(job for child in self.children for job in child.board.running())

    def beat(self, now: float, dead_after: float) -> None:
        """Note for all processes that their worker has beaten; see `Board.beat`. Safe from any thread: the answers to heartbeats of two may come in another order."""
        with self._lock:
            if self._beaten is not None and now < self._beaten[0]:
                return
            self._beaten = now, dead_after
            for child in self.children:
                child.board.beat(now, dead_after)

    def ended(self) -> int:
        """How many jobs have ended, so far as the store knows. Safe from any thread."""
        with self._lock:
            return self._ended_before + sum(child.board.ended for child in self.children)

    def figures(self) -> Figures:
        """What all processes have counted, and those that are gone. Safe from any thread."""
        with self._lock:
            total = self._figures_before
            for child in self.children:
                total = plus(total, child.board.counters.read())
            return total

    def pids(self) -> list[int]:
        """Of all processes. Safe from any thread."""
        with self._lock:
            return [child.pid for child in self.children]

    def states(self) -> list[LaneState]:
        """How each lane stands. Safe from any thread."""
        with self._lock:
            return [crew.state() for crew in self._crews]

    def records(self) -> tuple[LaneRecord, ...]:
        """The lanes as each heartbeat tells of them. Safe from any thread."""
        return tuple(
            LaneRecord(state.queues, state.lane.pool, state.processes, state.slots, state.busy,
                       state.lane.least, state.lane.most, state.why)
            for state in self.states()
        )  # fmt: skip
