"""The shared memory that tells what ran in a process that is dead."""

import os

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
