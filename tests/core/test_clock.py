"""Telling a clock that was set from one that runs."""

import pytest

from penstock.core.clock import Steady


def test_clocks_that_run_alike_are_steady() -> None:
    steady = Steady()
    assert all(steady.observe(1_700_000_000 + n, 50 + n) for n in range(0, 100, 7))


def test_slow_drift_is_no_step() -> None:
    steady = Steady(tolerance=2)
    assert all(steady.observe(1000 + n * 1.1, n) for n in range(0, 1000, 10))


@pytest.mark.parametrize("step", [3600, -3600, 3, -3])
def test_after_a_step_nobody_is_judged_until_every_worker_has_beaten(step: float) -> None:
    steady = Steady(tolerance=2, settle=10)
    assert steady.observe(1000, 0)
    assert steady.observe(1002, 2)
    assert not steady.observe(1004 + step, 4)
    assert not steady.observe(1013.9 + step, 13.9)
    assert steady.observe(1014 + step, 14)


def test_a_second_step_starts_the_wait_anew() -> None:
    steady = Steady(tolerance=2, settle=10)
    steady.observe(1000, 0)
    assert not steady.observe(2000, 1)
    assert not steady.observe(500, 9)
    assert not steady.observe(511, 18.5)
    assert steady.observe(511.9, 19.4)


def test_an_answer_that_is_late_is_taken_for_a_step() -> None:
    steady = Steady(tolerance=2, settle=10)
    assert steady.observe(1000, 0)
    # Asked at 2, and the answer tells the time at 6.
    assert not steady.observe(1006, 2)
    assert not steady.observe(1008, 8)
    assert not steady.observe(1017, 17)
    assert steady.observe(1018, 18)
