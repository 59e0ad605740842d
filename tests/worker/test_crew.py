"""How many processes a lane has, and when the next may start."""

from penstock.worker.crew import FIRST_PAUSE, LONGEST_PAUSE, Crew
from penstock.worker.lane import Lane


class Someone:
    """As much of a process as a crew looks at."""

    def __init__(self, crew: Crew, number: int, booted_at: float | None = 0.0, idle: bool = False) -> None:
        self.number, self.booted_at, self.resting, self.leaving = number, booted_at, idle, False
        crew.members[number] = self

    @property
    def booted(self) -> bool:
        return self.booted_at is not None


def crew(processes: int) -> Crew:
    return Crew(0, Lane("app:app", processes))


def test_what_is_lacking_starts_at_once() -> None:
    lane = crew(3)
    Someone(lane, 1)
    assert lane.lacking(0.0) == 2
    Someone(lane, 2).leaving = True
    assert lane.lacking(0.0) == 2
    assert lane.surplus() == []


def test_those_that_are_too_many_leave_resting_and_young_ones_first() -> None:
    lane = crew(1)
    for number, booted_at, idle in [(1, 0.0, False), (2, 0.0, True), (3, None, False), (4, 0.0, False)]:
        Someone(lane, number, booted_at, idle)
    assert [child.number for child in lane.surplus()] == [3, 2, 4]
    lane.wanted = 0
    assert [child.number for child in lane.surplus()] == [3, 2, 4, 1]


def test_the_pause_grows_as_long_as_none_comes_up_and_one_at_a_time_is_tried() -> None:
    lane = crew(4)
    now, pauses = 100.0, []
    for _ in range(8):
        pauses.append(lane.lost(Someone(lane, 1, None), ran_jobs=False, now=now))
        # Several that die together are one failure.
        assert lane.lost(Someone(lane, 2, None), ran_jobs=False, now=now + 0.25) == pauses[-1] - 0.25
        now += pauses[-1]
    lane.members.clear()
    assert pauses == [min(LONGEST_PAUSE, FIRST_PAUSE * 2**times) for times in range(8)]
    lane.lost(Someone(lane, 1, None), ran_jobs=False, now=now)
    lane.members.clear()
    due = lane.due(now)
    assert due == now + LONGEST_PAUSE
    assert lane.lacking(due - 1.0) == 0
    assert lane.lacking(due + 1.0) == 1
    Someone(lane, 1, None)
    assert lane.lacking(due + 1.0) == 0
    lane.came_up(("default",))
    assert lane.lacking(due) == 3


def test_who_dies_of_a_job_or_after_a_while_is_replaced_at_once() -> None:
    lane = crew(1)
    assert lane.lost(Someone(lane, 1, None), ran_jobs=True, now=1.0) == 0.0
    assert lane.lost(Someone(lane, 1, -10.0), ran_jobs=False, now=1.0) == 0.0
    lane.members.clear()
    assert lane.lacking(0.0) == 1


def test_one_that_fails_after_a_long_calm_waits_no_longer_than_the_first() -> None:
    lane = crew(1)
    assert lane.lost(Someone(lane, 1, None), ran_jobs=False, now=100.0) == FIRST_PAUSE
    assert lane.lost(Someone(lane, 1, None), ran_jobs=False, now=101.0) == 2 * FIRST_PAUSE
    assert lane.lost(Someone(lane, 1, None), ran_jobs=False, now=200.0) == FIRST_PAUSE


def test_a_system_without_room_is_asked_again_after_a_pause() -> None:
    lane = crew(2)
    assert lane.failed(100.0) == FIRST_PAUSE
    assert lane.lacking(100.0) == 0
    assert lane.lacking(100.0 + FIRST_PAUSE) == 1


def test_the_same_words_are_told_once() -> None:
    lane = crew(1)
    assert [lane.news(words) for words in ("a", "a", "b", "", "b")] == ["a", "", "b", "", "b"]
