"""The account of a world in which things were killed: what was lost, and what ran again that should not have."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from oracle import SEED, Note, World

#: Seconds of work before a kill that may be repeated. About 10 ms are promised; the rest is for a machine that does
#: other things, too. It is the processor's time that counts, so that what else the machine does counts little.
NOISE = 0.05
#: What is counted, at most, of the time between a process's last note and its death, of which nothing is known.
UNKNOWN = 0.02


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
    lost = sorted(set(range(count)) - set(runs))
    assert set(runs) == set(range(count)), f"lost {len(lost)}: {lost[:50]}; PENSTOCK_CHAOS_SEED={SEED}"
    since = {pid: min([at, *(outage.began for outage in outages if outage.held_up(at))]) for pid, at in died.items()}
    left = work_left([note for notes in runs.values() for note in notes], since)
    repeated = [note for notes in runs.values() for note in notes[:-1]]
    early = [(note, left.get(note)) for note in repeated if left.get(note, 1.0) > NOISE]
    # Why is mostly told by the workers: somebody was taken for dead, or ended too late.
    said = [line for worker in world.workers for line in worker.said() if " INFO " not in line]
    wrong = f"{len(early)} of {len(repeated)} were repeated too late: {early[:3]}"
    assert not early, "\n".join([f"PENSTOCK_CHAOS_SEED={SEED}: {wrong}", *said[-30:]])
    assert world.counts().dead == 0


def work_left(notes: Sequence[Note], died: Mapping[int, float]) -> dict[Note, float]:
    """For how long the process of each run still worked before it was killed; nothing for those that were not."""
    left: dict[Note, float] = {}
    latest: dict[int, Note] = {}
    for note in sorted(notes, key=lambda note: note.at, reverse=True):
        end = died.get(note.pid)
        if end is None:
            continue
        if note.at >= end:
            left[note] = 0.0
            continue
        last = latest.setdefault(note.pid, note)
        left[note] = last.worked - note.worked + min(UNKNOWN, end - last.at)
    return left
