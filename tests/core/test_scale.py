"""How large a lane should be, at times that are given."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.extent import Extent
from penstock.core.scale import SPARE, STEP_DOWN, STEP_UP, TARGET, Look, Scale

MIB = 1 << 20


def follow(
    scale: Scale, size: int, start: float, seconds: float, *, every: float = STEP_UP, **seen
) -> list[tuple[float, int]]:
    """Look on as long as everything stays as it is, with processes that come up at once; returns the changes."""
    changes = []
    for step in range(int(seconds / every)):
        at = start + step * every
        look = Look(
            at,
            size,
            size,
            **{"busy": size} | {name: given(size) if callable(given) else given for name, given in seen.items()},
        )
        decision = scale.decide(look)
        if decision.size != size:
            size = decision.size
            changes.append((at - start, size))
    return changes


def test_from_least_to_most_in_three_steps_while_work_waits():
    assert follow(Scale(Extent(8, 1, 1)), 1, 100.0, 3.0, ready=500, waited=TARGET + 0.1) == [
        (0.0, 2),
        (pytest.approx(STEP_UP), 4),
        (pytest.approx(2 * STEP_UP), 8),
    ]


def test_a_long_queue_that_moves_fast_is_no_reason():
    assert follow(Scale(Extent(8, 1, 1)), 1, 0.0, 5.0, ready=10_000, waited=TARGET / 2) == []


def test_work_that_waits_beside_free_slots_waits_for_something_else():
    assert follow(Scale(Extent(8, 1, 1)), 4, 0.0, 5.0, busy=1, ready=100, waited=60.0) == []


def test_no_more_slots_than_there_are_jobs_for():
    assert follow(Scale(Extent(1, 1000, 10)), 100, 0.0, STEP_UP, ready=3, waited=1.0) == [(0.0, 103)]


def test_down_slowly_and_late():
    changes = follow(Scale(Extent(8, 1, 2)), 8, 0.0, SPARE + 20.0, busy=0)
    assert changes == [(SPARE + step * STEP_DOWN, 7 - step) for step in range(6)]


def test_never_below_what_was_in_use():
    assert [size for _, size in follow(Scale(Extent(8, 1, 1)), 8, 0.0, 60.0, busy=5)] == [7, 6, 5]


def test_a_moment_with_all_in_use_starts_the_wait_anew():
    scale = Scale(Extent(8, 1, 1))
    assert follow(scale, 8, 0.0, SPARE - 1, busy=0) == []
    assert follow(scale, 8, SPARE - 1, 1.0, busy=8) == []
    assert follow(scale, 8, SPARE, SPARE - 1, busy=0) == []


def test_many_slots_leave_by_the_tenth():
    changes = follow(Scale(Extent(1, 1000, 10)), 1000, 0.0, SPARE + STEP_DOWN, busy=0)
    assert changes[0] == (SPARE, 900)


def test_up_again_at_once_after_a_step_down():
    scale = Scale(Extent(8, 1, 1))
    follow(scale, 8, 0.0, SPARE + 10, busy=0)
    assert follow(scale, 3, SPARE + 10, 1.0, ready=50, waited=1.0)[0] == (0.0, 6)


def test_the_reason_of_the_latest_change_is_told():
    scale = Scale(Extent(8, 1, 1))
    assert scale.decide(Look(0.0, 1, 1, 0)).why == "as it started"
    assert scale.decide(Look(1.0, 1, 1, 1, ready=9, waited=1.24)).why == "jobs waited 1.2 s"
    assert scale.decide(Look(1.1, 2, 2, 0)).why == "jobs waited 1.2 s"
    for at in range(12):
        decision = scale.decide(Look(2.0 + at, 2, 2, 0))
    assert (decision.size, decision.why) == (1, "0 of 2 were in use for 10 s")


def test_a_budget_of_memory_ends_the_growth():
    changes = follow(
        Scale(Extent(32, 1, 1)), 1, 0.0, 10.0, ready=500, waited=2.0, budget=1000 * MIB,
        memory=lambda size: size * 90 * MIB, share=lambda size: size * 90 * MIB, sharing=lambda size: size,
    )  # fmt: skip
    assert [size for _, size in changes] == [2, 4, 8, 11]


def test_processes_that_are_on_their_way_count_as_well():
    scale = Scale(Extent(32, 1, 1))
    look = Look(0.0, 8, 4, 4, 500, 2.0, memory=400 * MIB, share=400 * MIB, sharing=4, budget=1000 * MIB)
    assert scale.decide(look).size == 10


def test_what_other_lanes_have_counts_as_well():
    scale = Scale(Extent(32, 1, 1))
    look = Look(0.0, 2, 2, 2, 500, 2.0, memory=900 * MIB, share=100 * MIB, sharing=2, budget=1000 * MIB)
    assert scale.decide(look).size == 4
    look = Look(1.0, 2, 2, 2, 500, 2.0, memory=960 * MIB, share=100 * MIB, sharing=2, budget=1000 * MIB)
    assert scale.decide(look).size == 2


def test_what_comes_up_in_other_lanes_counts_as_well():
    scale = Scale(Extent(32, 1, 1))
    look = Look(
        0.0, 4, 4, 4, 500, 2.0, memory=800 * MIB, share=400 * MIB, sharing=4, coming=100 * MIB, budget=1000 * MIB
    )
    assert scale.coming(6, 400 * MIB) == 0
    assert scale.decide(look).size == 5
    assert scale.coming(6, 400 * MIB) == 200 * MIB
    assert scale.coming(6, 900 * MIB) == 0


def test_over_the_budget_it_shrinks_even_while_work_waits():
    scale = Scale(Extent(32, 1, 2))
    full = {"ready": 500, "waited": 9.0, "budget": 1000 * MIB}
    decision = scale.decide(Look(0.0, 10, 10, 10, memory=1250 * MIB, share=1250 * MIB, sharing=10, **full))
    assert (decision.size, decision.why) == (8, "memory: 1.2 GiB of 1000 MiB")
    again = Look(0.1, 8, 10, 10, memory=1250 * MIB, share=1250 * MIB, sharing=10, **full)
    assert scale.decide(again).size == 8  # those two have not left yet
    assert scale.decide(Look(9.0, 8, 8, 8, memory=9999 * MIB, share=9999 * MIB, sharing=8, **full)).size == 2


def test_what_a_slot_once_took_is_not_forgotten_at_once():
    scale = Scale(Extent(32, 1, 1))
    scale.decide(Look(0.0, 2, 2, 2, memory=800 * MIB, share=800 * MIB, sharing=2, budget=1000 * MIB))
    between_two_jobs = Look(1.0, 2, 2, 2, 500, 2.0, memory=100 * MIB, share=100 * MIB, sharing=2, budget=1000 * MIB)
    assert scale.decide(between_two_jobs).size == 2
    later = Look(900.0, 2, 2, 2, 500, 2.0, memory=100 * MIB, share=100 * MIB, sharing=2, budget=1000 * MIB)
    assert scale.decide(later).size == 4


def test_the_last_processes_of_a_burst_are_let_go():
    assert Scale(Extent(8, 1, 1)).decide(Look(0.0, 0, 0, 0, 5, 5.0)).size == 0


@given(
    st.integers(1, 50),
    st.lists(
        st.tuples(
            st.floats(0, 5), st.integers(0, 60), st.integers(0, 60), st.integers(0, 100), st.floats(0, 9),
            st.integers(0, 10**9), st.one_of(st.none(), st.integers(1, 10**9)),
        ),
        max_size=30,
    ),
)  # fmt: skip
def test_whatever_is_seen_the_size_stays_within_its_bounds(least, looks):
    extent = Extent(50, 1, least)
    scale = Scale(extent)
    size, at = least, 0.0
    for after, up, busy, ready, waited, memory, budget in looks:
        at += after
        before, size = (
            size,
            scale.decide(Look(at, size, up, busy, ready, waited, memory, memory, up, budget=budget)).size,
        )
        assert least <= size <= extent.most
        if budget is not None and memory > budget:
            assert size <= before
