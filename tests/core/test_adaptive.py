"""The adaptive policy, at times that are given, and against sinks that are simulated."""

import math
import os
import random
from functools import partial
from statistics import mean

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sink_simulation import TARGET, Run, Sink, scores, simulate, swing

from penstock.core.adaptive import Adaptive
from penstock.core.sizing import Fixed

FULL = os.environ.get("PENSTOCK_CHAOS") == "full"


def calls(policy: Adaptive, sink: Sink, count: int, start: float = 0.0) -> list[int]:
    """One full call after the other, without chance; returns their sizes."""
    sizes = []
    for _ in range(count):
        size = policy.next(10**6, 0, start).size
        seconds = (sink.fixed + size * sink.each) * sink.slow(start)
        start += seconds
        policy.ended(size, seconds, start)
        sizes.append(size)
    return sizes


def without_probes(sizes: list[int]) -> list[int]:
    """The sizes but for the small ones that only look whether small ones are quicker."""
    return [size for size in sizes if size > max(sizes) / 4]


def test_a_lone_job_goes_at_once_and_one_beside_a_call_waits_for_its_turn():
    policy = Adaptive(max_wait=0.03)
    assert policy.next(1, 0, 0.0).go(1, 0, 0.0) == 1
    plan = policy.next(1, 1, 0.0)
    assert 0 < plan.wait <= 0.03


def test_it_doubles_while_far_below_the_target():
    assert calls(Adaptive(max_batches=1), Sink(fixed=0.001, each=1e-5), 8) == [1, 2, 4, 8, 16, 32, 64, 128]


def test_batches_that_are_not_full_teach_nothing_about_larger_ones():
    policy = Adaptive(max_batches=1)
    calls(policy, Sink(fixed=0.001, each=1e-5), 8)
    size = policy.next(10**6, 0, 0.0).size
    for step in range(50):
        policy.ended(size // 10, 0.001, 10.0 + step)
        policy.ended(size // 10, 5.0, 10.5 + step)
    assert policy.next(10**6, 0, 0.0).size == size


def test_one_change_for_all_calls_that_were_under_way():
    policy = Adaptive(max_size=100_000)
    calls(policy, Sink(fixed=0.0, each=1e-5), 30)
    before = policy.next(10**6, 0, 0.0).size
    for _ in range(4):
        policy.ended(before, 0.15, 100.0)
    assert policy.next(10**6, 0, 0.0).size > before / 2


@pytest.mark.parametrize("slower", [2.0, 10.0])
def test_it_recovers_from_a_slow_down(slower):
    policy = Adaptive(max_batches=1, max_size=100_000)
    before = calls(policy, Sink(fixed=0.002, each=2e-5), 200)[-1]
    assert before * 2e-5 + 0.002 < TARGET * 1.01
    slow = Sink(fixed=0.002 * slower, each=2e-5 * slower)
    during = calls(policy, slow, 200, 1000.0)
    assert (slow.fixed + during[-1] * slow.each) < TARGET * 1.01
    assert [size for size in during[20:] if slow.fixed + size * slow.each > TARGET * 1.1] == []
    after = calls(policy, Sink(fixed=0.002, each=2e-5), 200, 2000.0)[-1]
    assert after > before * 0.4


def test_a_target_that_the_fixed_cost_alone_exceeds_does_not_end_in_single_rows():
    sizes = calls(Adaptive(target=0.1, max_batches=1), Sink(fixed=0.2, each=1e-5), 200)
    assert min(without_probes(sizes[50:])) > 5000
    assert len(without_probes(sizes[50:])) > 145


@given(st.lists(st.tuples(st.integers(0, 20_000), st.floats(0, 100), st.floats(-1, 10)), max_size=200))
@example([(0, 0.0, 0.0), (16, 0.0, 0.0), (16, 0.0, 0.0)])
@settings(max_examples=30)
def test_never_beyond_its_bounds_whatever_it_is_told(ends):
    policy = Adaptive(max_size=700, max_batches=3, max_wait=0.02)
    now = 0.0
    for size, seconds, step in ends:
        now += step
        policy.ended(size, seconds, now)
        for in_flight in (0, 1):
            plan = policy.next(size, in_flight, now)
            assert 1 <= plan.size <= 700
            assert 1 <= plan.batches <= 3
            assert 0 <= plan.wait <= 0.02


@settings(max_examples=8, deadline=None)
@given(st.floats(0.0005, 0.03), st.floats(2e-6, 2e-4))
@example(0.0010653512752760075, 2.0**-14)
def test_it_comes_to_rest_near_the_target_or_where_more_would_not_pay(fixed, each):
    sink = Sink(fixed=fixed, each=each)
    # Where calls cost little, it looks late whether half as many again would pay.
    sizes = calls(Adaptive(max_batches=1, max_size=100_000), sink, 900)[600:]
    sizes = without_probes(sizes)
    times = [fixed + size * each for size in sizes]
    assert max(sizes) <= max(min(sizes) * 1.35, min(sizes) + 2)
    assert max(times) <= TARGET * 1.05 + each * 2
    speed = mean(sizes) / mean(times)
    best = (TARGET - fixed) / each / TARGET
    assert speed > 0.85 * best


#: Loads of which there is always more than can be written; the figures are seconds, and calls whose rows are written at a time.
STEADY = {
    "one lane": Sink(fixed=0.005, each=8e-6, lanes=1),
    "two lanes, far": Sink(fixed=0.02, each=8e-6, lanes=2),
    "heavy": Sink(fixed=0.0005, each=1e-4, lanes=1),
}
SIZES = (100, 300, 1000, 2000, 3000, 5000, 7000, 10_000) if FULL else (300, 2000)
CALLS = (1, 2, 4) if FULL else (2, 4)


def endless(now: float) -> float:
    return 400_000.0


def reached(run: Run) -> float:
    return run.rate(5, 15)


@pytest.mark.parametrize("name", STEADY)
def test_a_steady_load_gets_95_percent_of_the_best_fixed_size(name):
    sink = STEADY[name]
    runs = [simulate(Fixed(size, batches=each), sink, endless, 15) for size in SIZES for each in CALLS]
    best = max(reached(run) for run in runs if run.late_calls(TARGET, 5) <= 0.05)
    mine = simulate(Adaptive(target=TARGET), sink, endless, 15)
    assert reached(mine) >= 0.95 * best
    assert mine.late_calls(TARGET, 5) <= 0.08


def test_on_swings_with_a_slow_down_no_fixed_size_does_as_well_on_the_sinks_together():
    mine = mean(scores(Adaptive).values())
    for size in (1, 10, 100, 500, 1000, 2000, 5000, 10_000) if FULL else (2000,):
        for batches in (1, 2, 4) if FULL else (4,):
            assert mine > mean(scores(partial(Fixed, size, batches=batches)).values()), (size, batches)


def test_on_a_swing_that_the_sink_can_bear_nothing_is_late():
    run = simulate(Adaptive(), Sink(lanes=2), swing, 10)
    assert run.latency(0.99) < 0.15
    assert run.latency(0.5, 0.0, 1.0) < 0.01


@pytest.mark.parametrize("seed", range(4))
def test_calls_whose_times_say_nothing_about_their_size_do_not_end_in_single_rows(seed: int) -> None:
    policy, chance, now = Adaptive(max_batches=1, max_size=1000), random.Random(seed), 0.0
    rows = took = 0.0
    for number in range(1000):
        size = policy.next(10**6, 0, now).size
        # Quick at first; then the machine is busy with something else.
        seconds = (0.003 if number < 50 else 0.06) * math.exp(
            chance.gauss(0, 0.1 if number < 50 else 1.0)
        ) + size * 1e-6
        now += seconds
        policy.ended(size, seconds, now)
        if number >= 500:
            rows, took = rows + size, took + seconds
    assert rows / took > 0.5 * 1000 / (0.06 * math.exp(0.5))
