"""The shared memory that tells what ran in a process that is dead."""

import math
import os
import threading
import time

import pytest

from penstock.core.job import Lease
from penstock.worker.board import Board


def lease(number: int) -> Lease:
    return Lease(bytes([number]) * 16, number, 1, "app.task", b"")


def test_what_one_end_notes_the_other_reads() -> None:
    board = Board.create(2)
    theirs = Board(os.dup(board.descriptor), 2)
    assert board.running() == []
    theirs.note(0, lease(1))
    theirs.note(1, lease(2))
    theirs.note(0, None)
    (job,) = board.running()
    assert job.id == lease(2).id
    assert 0 <= job.seconds < 60
    theirs.close()
    assert [job.id for job in board.running()] == [lease(2).id]
    board.close()


def test_progress_is_of_one_job_and_gone_with_it() -> None:
    board = Board.create(2)
    board.note(0, lease(1))
    board.note(1, lease(2))
    board.progress(lease(2).id, 3, 10)
    assert [(job.done, job.total) for job in board.running()] == [(0, 0), (3, 10)]
    board.note(1, lease(3))
    assert [(job.done, job.total) for job in board.running()] == [(0, 0), (0, 0)]
    board.progress(lease(9).id, 1, 1)
    assert [(job.done, job.total) for job in board.running()] == [(0, 0), (0, 0)]
    board.close()


def test_limits_are_of_one_job_and_gone_with_it() -> None:
    board = Board.create(3)
    asked: list[bool] = []
    board.limited = lambda: asked.append(True)
    for slot in range(3):
        board.note(slot, lease(slot))
    assert board.limits() == (math.inf, math.inf)
    board.limit(0, kill_at=50.0)
    board.watched = True
    board.limit(1, kill_at=40.0, memory=1000)
    board.limit(2, memory=2000)
    assert len(asked) == 1
    assert board.limits() == (40.0, 1000)
    assert [(entry.slot, entry.id, entry.kill_at, entry.memory) for entry in board.entries()] == [
        (0, lease(0).id, 50.0, 0),
        (1, lease(1).id, 40.0, 1000),
        (2, lease(2).id, 0.0, 2000),
    ]
    board.note(1, lease(4))
    board.note(2, None)
    assert board.limits() == (50.0, math.inf)
    board.limit(0, memory=1)
    assert board.entries()[0].before > 10 << 20
    board.note(0, lease(0))
    assert board.entries()[0].before == 0
    board.limit(0, kill_at=50.0)
    assert board.busy() == 2
    board.watched = False
    board.limit(1, memory=1)
    assert len(asked) == 2
    board.close()


def test_it_counts_what_has_ended() -> None:
    board = Board.create(1)
    theirs = Board(os.dup(board.descriptor), 1)
    theirs.count(3)
    theirs.count(4)
    assert board.ended == 7
    theirs.close()
    board.close()


def test_last_words_lie_behind_it() -> None:
    board = Board.create(1)
    assert board.last_words() == ""
    os.write(board.descriptor, b"x" * 100_000)
    os.write(board.descriptor, b"Fatal Python error: Segmentation fault\n")
    board.note(0, lease(1))
    board.lines.write("said")
    assert board.last_words().endswith("xxxFatal Python error: Segmentation fault\n")
    assert len(board.last_words()) == 16384
    assert board.take_words() == board.take_words() + "x" * 16345 + "Fatal Python error: Segmentation fault\n"
    os.write(board.descriptor, b"again")
    assert board.last_words() == "again"
    assert board.lines.read() == ["said"]
    board.close()


def test_a_note_ends_the_run_before_it() -> None:
    board = Board.create(2)
    ran: list[tuple[Lease, float]] = []
    quick: list[float] = []
    board.ran, board.quick = (lambda lease, seconds: ran.append((lease, seconds))), quick.append
    board.note(0, lease(1))
    board.note(0, lease(2))
    board.note(1, lease(3))
    board.note(0, None)
    assert len(ran) + len(quick) == 2
    threading.Event().wait(0.001)
    assert board.seconds(1) > 0.001
    board.note(1, None)
    assert ran[-1][0] == lease(3)
    assert ran[-1][1] > 0.001
    board.note(1, None)
    assert len(ran) + len(quick) == 3
    board.close()


def test_figures_lie_beside_the_last_lines_and_the_last_words() -> None:
    board = Board.create(3)
    theirs = Board(os.dup(board.descriptor), 3)
    os.write(board.descriptor, b"last words")
    theirs.lines.write("a line")
    theirs.counters.count("app.task", "q", 0, 5)
    theirs.close()
    assert board.counters.read().count("done") == 5
    assert board.lines.read() == ["a line"]
    assert board.last_words() == "last words"
    board.close()


def test_leases_lapse_where_the_worker_was_silent_for_long() -> None:
    board = Board.create(1)
    assert not board.lapsed(0.0, 1000.0)  # it has never beaten: that says nothing
    board.beat(100.0, 6.0)
    board.beat(105.0, 6.0)
    assert not board.lapsed(90.0, 111.0)
    # Nothing has run here for long, and the worker has not beaten: both were frozen.
    assert board.lapsed(105.0, 112.0)
    assert not board.lapsed(111.0, 112.0)
    board.beat(112.0, 6.0)
    # It beats again. What was taken before that may be another's; what is taken now is not.
    assert board.lapsed(111.9, 112.1)
    assert not board.lapsed(112.0, 112.1)
    board.close()


def test_a_slots_first_job_does_not_start_either_where_it_was_taken_before_a_long_silence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A process may be frozen between having taken a job and its start, in a slot that has nothing to end."""
    board = Board.create(1)
    declined: list[Lease] = []
    board.declined = declined.append
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    board.beat(now, 6.0)
    board.held_since = now
    now += 20.0
    assert board.note(0, lease(1))
    board.beat(now, 6.0)
    assert board.note(0, lease(2))
    assert declined == [lease(1), lease(2)]
    assert board.entries() == []
    board.held_since = now
    assert not board.note(0, lease(3))
    board.close()


def test_what_may_be_anothers_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    board = Board.create(2)
    theirs = Board(os.dup(board.descriptor), 2)
    declined: list[Lease] = []
    theirs.declined = declined.append
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    board.beat(now, 6.0)
    for slot in range(2):
        assert not theirs.note(slot, lease(slot))
    now += 20.0
    assert not theirs.note(1, None)
    assert theirs.note(0, lease(2))
    assert declined == [lease(2)]
    assert board.entries() == []
    # The next is one that was taken since.
    assert not theirs.note(0, lease(3))
    theirs.close()
    board.close()
