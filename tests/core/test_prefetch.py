"""How many jobs a process takes at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.prefetch import LARGEST, LONGEST_SECONDS, TARGET_SECONDS, Prefetch, hostages


def test_it_starts_with_one_and_grows_fourfold_at_most() -> None:
    prefetch, limits = Prefetch(), []
    for _ in range(6):
        limits.append(prefetch.limit)
        prefetch.ran(prefetch.limit, prefetch.limit * 1e-6)
    assert limits == [1, 4, 16, 64, 256, LARGEST]


def test_a_batch_is_as_many_as_fit_into_the_target() -> None:
    prefetch = Prefetch()
    for _ in range(5):
        prefetch.ran(prefetch.limit, prefetch.limit * 1e-3)
    assert prefetch.limit == 10


def test_slow_jobs_are_taken_one_by_one_at_once() -> None:
    prefetch = Prefetch()
    for _ in range(6):
        prefetch.ran(prefetch.limit, 0.0)
    prefetch.ran(1, 3600)
    assert prefetch.limit == 1


def test_where_exchanges_take_long_it_takes_as_much_work_as_that() -> None:
    prefetch = Prefetch()
    for _ in range(2):
        prefetch.exchanged(0.08)
    assert prefetch.target == TARGET_SECONDS  # it may have been a moment
    prefetch.exchanged(0.05)
    for _ in range(5):
        prefetch.ran(prefetch.limit, prefetch.limit * 5e-3)
    assert (prefetch.target, prefetch.limit) == (0.05, 10)
    for _ in range(3):
        prefetch.exchanged(60.0)
    assert prefetch.target == LONGEST_SECONDS
    prefetch.exchanged(0.001)
    assert prefetch.target == TARGET_SECONDS


def test_what_is_not_repeated_may_be_taken_by_more_at_once() -> None:
    prefetch, targets = Prefetch(), []
    for seconds, least in ((0.001, 0.025), (0.001, 0.001), (0.001, 0.0)):
        prefetch.exchanged(seconds, least)
        targets.append(prefetch.target)
    assert targets == [0.025, TARGET_SECONDS, TARGET_SECONDS]
    for _ in range(3):
        prefetch.exchanged(0.08, 0.025)
    assert prefetch.target == 0.08


def test_nothing_ran_changes_nothing() -> None:
    prefetch = Prefetch()
    prefetch.ran(1, 0.0)
    prefetch.ran(0, 1.0)
    assert prefetch.limit == 4


@given(st.lists(st.tuples(st.integers(0, 1000), st.floats(0, 10)), max_size=20), st.integers(1, 1000))
def test_the_limit_stays_in_its_bounds(batches: list[tuple[int, float]], largest: int) -> None:
    prefetch = Prefetch(largest)
    for jobs, seconds in batches:
        prefetch.ran(jobs, seconds)
        assert 1 <= prefetch.limit <= largest
        if jobs and seconds:
            assert prefetch.limit == 1 or prefetch.limit * seconds / jobs <= TARGET_SECONDS * 1.001


@pytest.mark.parametrize(
    ("waited", "submitted", "waiting", "kept"),
    [
        (0, 0, 0, None),
        (0, 500, 300, None),  # all that waits has just come
        (300, 0, 200, None),  # 100 started: the rest takes twice the time
        (300, 0, 250, 100),  # 50 started
        (300, 0, 300, 0),  # none did: a slow job is before them
        (300, 10, 310, 0),
        (0, 1, 1, None),
    ],
)
def test_what_would_wait_for_long_is_given_to_others(
    waited: int, submitted: int, waiting: int, kept: int | None
) -> None:
    assert hostages(waited, submitted, waiting) == kept
