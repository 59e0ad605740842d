"""What the notes of a trial prove: pure, from what was sent, noted and done to the workers."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

import msgspec

from penstock.chaos.notes import Note

#: Seconds that the store may take to hear of a run's end: a worker tells of several at once.
_UNHEARD = 5.0


class Harm(msgspec.Struct, frozen=True):
    """Something that was done.

    Parameters:
        kind: what it is called.
        at, until: when it began and when it was over, in seconds of the notes' clock.
        pids: whom it met; None where it met everybody.
        freezes: those stood still, and went on later.
    """

    kind: str
    at: float
    until: float
    pids: frozenset[int] | None = None
    freezes: bool = False

    def met(self, pid: int) -> bool:
        """Did it meet a process?"""
        return self.pids is None or pid in self.pids


class Run(msgspec.Struct):
    """A run of a job; `ended` is None where it came to no end."""

    number: int
    pid: int
    began: float
    ended: float | None = None


class Toll(msgspec.Struct, frozen=True):
    """What one kind of harm did.

    Parameters:
        times: how often it was done.
        in_hand: jobs that were being run by whom it met.
        back: for each of these, the seconds from the harm until the job was done, least first.
    """

    kind: str
    times: int
    in_hand: int
    back: tuple[float, ...]

    @property
    def middle(self) -> float | None:
        """The seconds within which half of them were done; None where it met no job."""
        return self.back[len(self.back) // 2] if self.back else None

    @property
    def longest(self) -> float | None:
        """The seconds that the last of them took."""
        return self.back[-1] if self.back else None


class Verdict(msgspec.Struct, frozen=True):
    """What became of the jobs.

    Parameters:
        lost: numbers of those that were stored and never ran to their end.
        again: jobs that ran more than once, since whoever ran them was harmed.
        unexplained: numbers of those that ran more than once without such a reason.
        tolls: of each kind of harm, in the order of their first time.
    """

    sent: int
    lost: tuple[int, ...]
    again: int
    unexplained: tuple[int, ...]
    tolls: tuple[Toll, ...]

    @property
    def passed(self) -> bool:
        """Was nothing lost, and nothing repeated without need?"""
        return not self.lost and not self.unexplained


def judge(sent: Collection[int], resent: Collection[int], notes: Iterable[Note], harms: Sequence[Harm]) -> Verdict:
    """Count.

    Parameters:
        sent: the numbers of the jobs that the store has confirmed.
        resent: those of them that were handed in more than once, as an answer was lost: where the store can't know them again, they
            are stored twice.
        notes: all there are, in their order.
        harms: in their order.
    """
    notes = list(notes)
    runs, belated = _runs(notes), _belated(notes, harms)
    lost = sorted(number for number in sent if all(run.ended is None for run in runs.get(number, ())))
    repeated = {number: each for number, each in runs.items() if len(each) > 1}
    unexplained = sorted(
        number
        for number, each in repeated.items()
        if number not in resent
        and not all(
            (second.pid, second.began) in belated or any(_explains(harm, first, second) for harm in harms)
            for first, second in itertools.pairwise(each)
        )
    )
    kinds = dict.fromkeys(harm.kind for harm in harms)
    tolls = [_toll(kind, [harm for harm in harms if harm.kind == kind], runs) for kind in kinds]
    return Verdict(len(sent), tuple(lost), len(repeated) - len(unexplained), tuple(unexplained), tuple(tolls))


def _runs(notes: Iterable[Note]) -> dict[int, list[Run]]:
    """The runs of each job, in the order in which they began."""
    runs: dict[int, list[Run]] = defaultdict(list)
    for note in notes:
        if not note.ended:
            runs[note.number].append(Run(note.number, note.pid, note.at))
            continue
        for run in runs[note.number]:
            if run.pid == note.pid and run.ended is None:
                run.ended = note.at
    return runs


def _belated(notes: Iterable[Note], harms: Iterable[Harm]) -> set[tuple[int, float]]:
    """By whom and when runs were noted that may have begun before their process was frozen: the first thing that each wrote after that."""
    since: dict[int, list[float]] = defaultdict(list)
    for harm in harms:
        for pid in harm.pids if harm.freezes and harm.pids else ():
            since[pid].append(harm.at)
    belated = set[tuple[int, float]]()
    for note in notes:
        if (times := since.get(note.pid)) and times[0] < note.at:
            since[note.pid] = [at for at in times if at >= note.at]
            if not note.ended:
                belated.add((note.pid, note.at))
    return belated


def _explains(harm: Harm, first: Run, second: Run) -> bool:
    """Did it keep the store from hearing of the first run before the second began?"""
    if not harm.met(first.pid) or not first.began <= harm.until or not harm.at <= second.began:
        return False
    return first.ended is None or first.ended > harm.at - _UNHEARD


def _toll(kind: str, harms: Sequence[Harm], runs: dict[int, list[Run]]) -> Toll:
    back: list[float] = []
    in_hand = 0
    for harm in harms:
        for each in runs.values():
            if any(harm.met(run.pid) and run.began <= harm.at and not _is_over(run, harm.at) for run in each):
                in_hand += 1
                ends = [run.ended for run in each if run.ended is not None and run.ended > harm.at]
                back += [min(ends) - harm.at] if ends else []
    return Toll(kind, len(harms), in_hand, tuple(sorted(back)))


def _is_over(run: Run, at: float) -> bool:
    return run.ended is not None and run.ended <= at
