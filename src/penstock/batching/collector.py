"""Jobs on their way into a shared call: kept until the policy of their task says how many go together, and when."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from penstock.core.bundle import Bundle, bundle
from penstock.core.job import Lease
from penstock.core.sizing import MAX_WAIT, Plan, Sizing

#: Seconds that a job waits for the end of a call, while no other may begin, before it is given back for those who are idle; about as
#: long as the calls of an adaptive task take.
_PATIENCE = 0.1
#: Seconds after that for which no other is claimed that would have to wait as well.
_QUIET = 1.0
#: Seconds between two claims of jobs that come one by one: a call for each would cost those who send them their turn at the store.
#: As long as an ending may wait.
SPACING = 0.01


class Collector:
    """The jobs of one batch task in one process. Reads no clock: times are monotonic seconds that it is told.

    Parameters:
        sizing: says how many go together; this collector's own.
        most: jobs in one call, whatever the policy says.
        slots: calls that the process can have under way.
        fill: seconds for which the first job waits for more of them while the claims bring others as well.
        ordered: one call at a time, and the next when it is known what became of it: or a later job could overtake.
        spacing: seconds that may lie between two claims while jobs come one by one.
        share: seconds of calls that jobs may be taken for at once; 0 is as of any.
    """

    def __init__(
        self,
        sizing: Sizing,
        most: int,
        slots: int,
        fill: float = MAX_WAIT,
        *,
        ordered: bool = False,
        spacing: float = SPACING,
        share: float = 0.0,
    ) -> None:
        self.spacing = spacing
        self.share = share
        self._sizing = sizing
        self._most = most
        self._slots = slots
        self._fill = fill
        self._ordered = ordered
        self._held: deque[tuple[Lease, float]] = deque()
        self._in_flight = 0
        self._warm = False
        #: Did the last claim stop short of the end of the queue, with jobs of others in it? Then the next ones bring more.
        self.fills = False
        #: How many jobs are known to wait in the store.
        self.behind = 0
        #: How deep into the store the policy wants to see; 0 is not at all.
        self.deepest = sizing.deepest

    def __len__(self) -> int:
        return len(self._held)

    def add(self, lease: Lease, now: float) -> None:
        """A job has come."""
        self._held.append((lease, now))

    def next(self, now: float, in_turn: int = 1) -> Bundle | None:
        """The jobs of the next call, if there is to be one now.

        Parameters:
            in_turn: as `appetite` has it.
        """
        if not self._held:
            return None
        plan = self._plan(now, in_turn)
        held = len(self._held)
        # What waits in the store counts as there: it comes with the next claims.
        waited = now - self._held[0][1]
        count = min(held, plan.go(held + self.behind, self._in_flight, waited))
        if not count or (self.fills and count < plan.size and waited < self._fill):
            return None
        self._in_flight += 1
        return bundle([self._held.popleft()[0] for _ in range(count)])

    def due_in(self, now: float) -> float | None:
        """Seconds until the jobs that wait go, whatever else comes; None where there are none, or the end of a call decides."""
        if not self._held:
            return None
        plan = self._plan(now)
        if self._in_flight >= plan.batches:
            return None
        wait = max(plan.wait, self._fill) if self.fills and len(self._held) < plan.size else plan.wait
        return max(0.0, self._held[0][1] + wait - now)

    def appetite(self, now: float, in_turn: int = 1) -> int:
        """How many jobs more would go into the calls that may start now.

        Parameters:
            in_turn: calls that each slot makes one after another before the next claim.
        """
        plan = self._plan(now, in_turn)
        return max(0, plan.size * max(0, plan.batches - self._in_flight) - len(self._held))

    def ended(self, size: int, seconds: float, now: float) -> None:
        """A call has ended, well or not."""
        self._in_flight -= 1
        if self._warm:
            self._sizing.ended(size, seconds, now)
        # The first one has connected and has loaded what it needs: its time says nothing about the next.
        self._warm = True

    def called_off(self) -> None:
        """A call has not started after all."""
        self._in_flight -= 1

    def is_stuck(self, now: float) -> bool:
        """Do jobs wait for the end of a call, and have for long?"""
        if not self._held or now - self._held[0][1] < _PATIENCE:
            return False
        return self._in_flight >= self._plan(now).batches

    def take_back(self) -> list[Lease]:
        """The jobs that wait; they are the caller's again."""
        taken = []
        while self._held:
            taken.append(self._held.popleft()[0])
        return taken

    def _plan(self, now: float, in_turn: int = 1) -> Plan:
        plan = self._sizing.next(len(self._held) + self.behind, self._in_flight, now)
        batches = 1 if self._ordered else min(plan.batches, self._slots) * in_turn
        return Plan(min(plan.size, self._most), plan.wait, batches)


class Collected(Protocol):
    """What is to be known of a task whose jobs share calls."""

    def collector(self, slots: int) -> Collector:
        """A new collector for a process of so many slots."""


class Sized(Protocol):
    """What has a size."""

    @property
    def max_size(self) -> int:
        """Jobs in one call, at most."""


class Collectors:
    """The batch tasks of one process. For its main thread, but for what says otherwise.

    Parameters:
        tasks: those whose jobs share calls, by name.
        slots: of the process.
        in_turn: the process makes calls one after another between two claims, as many as its pool has room for.
    """

    def __init__(self, tasks: Mapping[str, Collected], slots: int, *, in_turn: bool = False) -> None:
        self._tasks = tasks
        self._slots = slots
        self._in_turn = in_turn
        self._collectors: dict[str, Collector] = {}
        self._ended: deque[tuple[str, int, float, float]] = deque()
        self._lock = threading.Lock()
        #: How many jobs the last claim brought, of others and of batch tasks.
        self._strange = self._own = 0
        self._quiet_until = float("-inf")
        #: Seconds to leave between the last claim and the next. Where it brought jobs of batch tasks only, and fewer than there was room for,
        #: they come one by one; else none.
        self.spacing = 0.0
        #: Seconds of work that may be taken at once, by what the last claim that was not empty brought; 0 is as of any jobs.
        self.share = 0.0

    @property
    def waiting(self) -> int:
        """How many jobs wait."""
        return sum(map(len, self._collectors.values()))

    def sort(self, leases: Sequence[Lease], now: float, room: int = 0) -> list[Lease]:
        """Keep the jobs of batch tasks; returns the others, and packed rows and suspects, which go by themselves.

        Parameters:
            room: how many were asked for; 0 where that says nothing.
        """
        if not self._tasks:
            return list(leases)
        others: list[Lease] = []
        with self._lock:
            for lease in leases:
                if lease.task not in self._tasks or lease.packed:
                    others.append(lease)
                elif lease.crashes:
                    others.append(bundle([lease]))
                else:
                    self._of(lease.task).add(lease, now)
        if leases:
            self._strange, self._own = len(others), len(leases) - len(others)
            self.share = 0.0
        self.spacing = 0.0
        if leases and not others:
            came = [self._collectors[task] for task in {lease.task for lease in leases}]
            self.share = min(each.share for each in came)
            if len(leases) < room:
                self.spacing = min(each.spacing for each in came)
        fills = bool(others) and 0 < room <= len(leases)
        for each in self._collectors.values():
            each.fills = fills
        return others

    def ready(self, now: float, slots: int = 1) -> list[Bundle]:
        """The calls to start now.

        Parameters:
            slots: how many leases the pool has room for.
        """
        if not self._collectors:
            return []
        self._learn()
        found: list[Bundle] = []
        in_turn = max(1, slots) if self._in_turn else 1
        with self._lock:
            for collector in self._collectors.values():
                while not self._in_turn or len(found) < in_turn:
                    following = collector.next(now, in_turn)
                    if following is None:
                        break
                    found.append(following)
            if len(self._collectors) > 1 and found:
                # Whoever came first this time comes last the next: among several tasks none is left out.
                first = next(iter(self._collectors))
                self._collectors[first] = self._collectors.pop(first)
        return found

    def due_in(self, now: float) -> float | None:
        """Seconds until something is to start, whatever else comes; None where nothing waits for its time."""
        if not self._collectors:
            return None
        with self._lock:
            dues = [due for each in self._collectors.values() if (due := each.due_in(now)) is not None]
        return min(dues, default=None)

    def room(self, slots: int, now: float) -> int:
        """How many jobs to claim.

        Claims are by queue, and may bring jobs of batch tasks and others: where the last one brought only the first, as many as go into the
        next calls; where it brought both, no more than twice as many as it brought of them, and what the others need.

        Parameters:
            slots: how many leases the pool has room for.
        """
        if not self._own:
            return slots
        self._learn()
        in_turn = max(1, slots) if self._in_turn else 1
        wanted = sum(each.appetite(now, in_turn) for each in self._collectors.values())
        if self._strange:
            # What waits here takes the place of what the slots would have.
            return max(min(1, slots), slots - self.waiting) + min(wanted, 2 * self._own)
        if not wanted and now < self._quiet_until:
            return 0
        return max(wanted, 0 if self.waiting else min(1, slots))

    def deepest(self) -> int:
        """How deep into the store any policy wants to see; 0 is not at all."""
        return max((each.deepest for each in self._collectors.values()), default=0)

    def behind(self, jobs: int) -> None:
        """So many jobs wait in the store."""
        for each in self._collectors.values():
            each.behind = jobs if each.deepest else 0

    def ended(self, task: str, size: int, seconds: float, now: float) -> None:
        """A call has ended. Safe from any thread."""
        self._ended.append((task, size, seconds, now))

    def unbundled(self, leases: Iterable[Lease]) -> list[Lease]:
        """Leases that a pool gives back unstarted, as the store knows them: those in a bundle, which is under way no more, in its
        place. Safe from any thread.
        """
        found: list[Lease] = []
        for lease in leases:
            if not isinstance(lease, Bundle):
                found.append(lease)
                continue
            found += lease.leases
            if not lease.crashes:
                with self._lock:
                    self._of(lease.task).called_off()
        return found

    def hostages(self, now: float) -> list[Lease]:
        """The jobs that would have to wait for the end of a slow call; they are the caller's again. Safe from any thread."""
        with self._lock:
            stuck = [each for each in self._collectors.values() if each.is_stuck(now)]
            if stuck:
                self._quiet_until = now + _QUIET
            return [lease for each in stuck for lease in each.take_back()]

    def take_back(self) -> list[Lease]:
        """The jobs that wait; they are the caller's again. Safe from any thread."""
        with self._lock:
            return [lease for each in self._collectors.values() for lease in each.take_back()]

    def _learn(self) -> None:
        while self._ended:
            task, size, seconds, now = self._ended.popleft()
            self._of(task).ended(size, seconds, now)

    def _of(self, task: str) -> Collector:
        collector = self._collectors.get(task)
        if collector is None:
            collector = self._collectors[task] = self._tasks[task].collector(self._slots)
        return collector


def grouped(leases: Iterable[Lease], batches: Mapping[str, Sized]) -> list[Lease]:
    """Leases with those of batch tasks in bundles, as large as may be; for whoever runs them one after another."""
    found: list[Lease] = []
    together: dict[str, list[Lease]] = {}
    for lease in leases:
        if lease.task in batches and not lease.packed:
            together.setdefault(lease.task, []).append(lease)
        else:
            found.append(lease)
    for task, group in together.items():
        size = batches[task].max_size
        found += [bundle(group[start : start + size]) for start in range(0, len(group), size)]
    return found
