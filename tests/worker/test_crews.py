"""All processes of a worker."""

import threading
from collections.abc import Iterator

import pytest

from penstock.core.job import Lease
from penstock.worker import link as message
from penstock.worker.board import Board
from penstock.worker.child import Child
from penstock.worker.crews import Crews
from penstock.worker.lane import Lane


class Someone:
    """As much of a process as is looked at here."""

    lane, idle, stands_by, resting = 0, False, False, Child.resting

    def __init__(self, number: int) -> None:
        self.number, self.board = number, Board.create(1)
        self.told: list[bytes] = []

    def tell(self, word: bytes) -> None:
        self.told.append(word)


@pytest.fixture
def both() -> Iterator[tuple[Someone, Someone]]:
    both = Someone(1), Someone(2)
    yield both
    for one in both:
        one.board.close()


def test_a_process_knows_of_beats_before_it_came(both: tuple[Someone, Someone]) -> None:
    first, second = both
    crews = Crews([Lane("app:app", 2)])
    crews.add(first)
    crews.beat(100.0, 6.0)
    crews.add(second)
    # Frozen right after they came up, both see that the worker has been silent for too long.
    assert [one.board.lapsed(101.0, 107.0) for one in both] == [True, True]
    crews.beat(107.0, 6.0)
    assert [one.board.lapsed(101.0, 107.1) for one in both] == [True, True]
    assert [one.board.lapsed(107.0, 107.1) for one in both] == [False, False]


def test_a_beat_that_is_answered_late_undoes_none_that_was_sent_after_it(both: tuple[Someone, Someone]) -> None:
    first, _ = both
    crews = Crews([Lane("app:app", 2)])
    crews.add(first)
    for sent_at in (100.0, 105.0, 102.0, 109.0):
        crews.beat(sent_at, 6.0)
    assert not first.board.lapsed(100.0, 109.1)


def test_who_has_its_only_slot_taken_is_not_woken(both: tuple[Someone, Someone]) -> None:
    # A store that sends jobs by itself does so to those who rest, and they begin it without a word to anybody.
    crews = Crews([Lane("app:app", 2)])
    for one in both:
        crews.add(one)
        one.idle = True
    both[0].board.note(0, Lease(bytes(16), 1, 1, "app.task", b""))
    crews.wake_one()
    assert [one.told for one in both] == [[], [message.WAKE]]
    both[0].board.note(0, None)
    crews.wake_one()
    assert both[0].told == [message.WAKE]


def test_who_stands_by_is_not_woken_for_what_it_is_sent(both: tuple[Someone, Someone]) -> None:
    crews = Crews([Lane("app:app", 2)])
    for one in both:
        crews.add(one)
        one.idle = True
    both[0].stands_by = True
    crews.wake_when_idle(sent=True)
    assert [one.told for one in both] == [[], [message.WAKE]]
    crews.wake_when_idle(sent=True)
    assert [len(one.told) for one in both] == [0, 1], "and nobody waits for another"
    crews.wake_when_idle()
    assert [len(one.told) for one in both] == [1, 1]


def test_whoever_waits_for_an_idle_process_hears_of_it_and_of_the_end(both: tuple[Someone, Someone]) -> None:
    crews = Crews([Lane("app:app", 2)])
    crews.add(both[0])
    assert not crews.wait_for_idle(0.01)
    both[0].idle = True
    assert crews.wait_for_idle(0)
    both[0].idle = False
    found: list[bool] = []
    waiting = threading.Thread(target=lambda: found.append(crews.wait_for_idle(20)))
    waiting.start()
    both[0].idle = True
    crews.show_idle()
    waiting.join(20)
    assert found == [True]
    both[0].idle = False
    crews.release()
    assert crews.wait_for_idle(20), "nobody waits any more"


def test_those_who_begin_together_hear_how_many_others_do(both: tuple[Someone, Someone]) -> None:
    crews = Crews([Lane("app:app", 2)])
    for one in both:
        crews.add(one)
        one.idle = True
    crews.wake_together(1)
    assert [one.told for one in both] == [[message.WAKE], []]
    both[0].idle = True
    crews.wake_together(5)
    assert [one.told for one in both] == [[message.WAKE, message.WAKE], [message.AMONG + b"\0\1"]]
    assert [one.idle for one in both] == [False, False]
    crews.wake_together(5)
    assert [len(one.told) for one in both] == [2, 1]
