"""The account of a world in which things were killed: what was lost, and what ran again that should not have."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from oracle import SEED, Note, World

#: Seconds of work before a kill that may be repeated. About 10 ms are promised; the rest is for a machine that does
#: other things, too.
NOISE = 0.05
#: Seconds without a note after which a process was not working but waiting, for its disk or its turn: an exchange may
#: take longer than the 10 ms, and no more than this is counted of it.
STALL = 0.02


class Outage(NamedTuple):
    """When a store could not be reached, on the monotonic clock."""

    began: float
    ended: float

    def held_up(self, at: float) -> bool:
        """Might a process have been unable to hand in at this moment? The pause before it tries again grows with time."""
        return self.began <= at <= self.ended + 1.0 + 2.0 * (self.ended - self.began)


def check_runs(world: World, count: int, died: Mapping[int, float], outages: Sequence[Outage] = ()) -> None:
    """Every number ran, and each run but its last was among the last work of a process that was killed.

    Parameters:
        died: when processes were killed, on the monotonic clock, by their ids.
        outages: what ended during one of them can't be handed in, and is repeated by a kill before it was.
    """
    runs = world.runs()
    assert set(runs) == set(range(count)), f"PENSTOCK_CHAOS_SEED={SEED}"
    since = {pid: min([at, *(outage.began for outage in outages if outage.held_up(at))]) for pid, at in died.items()}
    left = work_left([note for notes in runs.values() for note in notes], since)
    early = {note: left.get(note) for notes in runs.values() for note in notes[:-1] if left.get(note, 1.0) > NOISE}
    assert early == {}, f"PENSTOCK_CHAOS_SEED={SEED}"
    assert world.counts().dead == 0


def work_left(notes: Sequence[Note], died: Mapping[int, float]) -> dict[Note, float]:
    """For how long the process of each run still worked before it was killed; nothing for those that were not."""
    left: dict[Note, float] = {}
    latest = {pid: (at, 0.0) for pid, at in died.items()}
    for note in sorted(notes, key=lambda note: note.at, reverse=True):
        if note.pid not in latest:
            continue
        after, sum = latest[note.pid]
        left[note] = sum + min(STALL, max(0.0, after - note.at))
        if note.at < after:
            latest[note.pid] = note.at, left[note]
    return left
