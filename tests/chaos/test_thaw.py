"""A worker that was frozen for longer than others wait for it, as a machine does that sleeps: it begins nothing that is theirs by now."""

import fcntl
import os
import signal
from pathlib import Path

import pytest
from oracle import FULL, KINDS_IN_FULL, Worker, World, send, until

JOBS = 4_000
#: Seconds of silence after which a worker is dead here.
DEAD_AFTER = 6.0 if FULL else 3.0


def holds_the_file(path: Path) -> bool:
    """Is somebody in the middle of a transaction that writes, or on the way in or out? One that is frozen there holds up everybody else."""
    with path.with_name(f"{path.name}-lock").open("rb") as lock:
        # It is held for somewhat longer than the transaction.
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def is_stopped(pid: int) -> bool:
    """Does every thread of a process stand still?"""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return all(thread.joinpath("stat").read_text().rpartition(")")[2].split()[0] in "TZ" for thread in threads)


def freeze(world: World, worker: Worker, slots: int, *, ahead: bool = True) -> bool:
    """Freeze all of its processes, each slot in the midst of a job; False where that is no use.

    Parameters:
        ahead: they are to have more jobs at hand than they run.
    """
    pids = worker.tree()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    # A signal is on its way for a moment, in which a transaction may still begin.
    until(lambda: all(is_stopped(pid) for pid in pids), 30, "all its threads stand still")
    file = world.folder / "jobs.db"
    # One that is between having begun a job and its first line would rightly go on with it.
    begun = len(world.notes("start")) - len(world.notes()) == slots
    if begun and not (file.exists() and holds_the_file(file)) and (not ahead or world.counts().running > slots):
        return True
    for pid in worker.tree():
        os.kill(pid, signal.SIGCONT)
    return False


@pytest.mark.parametrize(("pool", "slots"), [("prefork", 1), ("threads", 2)] if FULL else [("prefork", 1)])
@pytest.mark.parametrize("world", KINDS_IN_FULL, indirect=True)
def test_begins_nothing_that_others_have_been_given(world: World, pool: str, slots: int) -> None:
    waiting = world.app.tasks["waiting"]
    waiting.delay_many([(number, 1) for number in range(JOBS)])
    frozen = world.start(pool=pool, slots=slots, dead_after=DEAD_AFTER)
    until(lambda: len(world.notes()) >= 50, 30, "it works")
    # On a machine that does much else all jobs look long, and none is taken ahead.
    if not any(freeze(world, frozen, 2 * slots) for _ in range(50)):
        until(lambda: freeze(world, frozen, 2 * slots, ahead=False), 30, "it is frozen")
    pids = set(frozen.tree())
    other = world.start(dead_after=DEAD_AFTER)
    until(lambda: world.live() == 0, 60, "the other runs all")
    before = len(world.notes("start"))
    for pid in pids:
        send(pid, signal.SIGCONT)
    # What it had begun it ends, which changes nothing any more; then it does its share again.
    assert other.stop() == 0
    waiting.delay_many([(number, 0) for number in range(JOBS, JOBS + 100)])
    until(lambda: len(world.runs()) == JOBS + 100 and world.live() == 0, 60, "it works again")
    assert frozen.stop() == 0
    late = [note for note in world.notes("start")[before:] if note.number < JOBS]
    assert late == []
    assert {note.attempt for note in world.notes("start")} == {1}
    assert world.counts().dead == 0
