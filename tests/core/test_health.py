"""Whether a worker does its work."""

import pytest

from penstock.core.health import LaneVitals, Vitals, trouble

UP = (LaneVitals("mail", 2, 2), LaneVitals("cpu", 0, 0))
READY = Vitals(UP, silent_for=0.5, proven=True)


@pytest.mark.parametrize(
    "vitals",
    [
        READY,
        Vitals((LaneVitals("mail", 8, 1),), silent_for=0.5, proven=True),
        Vitals(UP, silent_for=0.5, occupied=True),
        Vitals(UP, silent_for=0.5, proven=True, stalled_for=9.0),
        Vitals(UP, silent_for=0.5, occupied=True, stalled_for=60.0),
        Vitals((LaneVitals("mail", 0, 0),), silent_for=0.5),
    ],
)
def test_one_that_works_is_ready(vitals: Vitals) -> None:
    assert trouble(vitals) == ""


@pytest.mark.parametrize(
    ("vitals", "why"),
    [
        (Vitals(UP, 0.5, proven=True, stopping=True), "it is stopping"),
        (Vitals((LaneVitals("mail", 1, 0),), 0.5), "no process of the lane mail has come up yet"),
        (Vitals((UP[0], LaneVitals("io", 4, 2, failing=True)), 0.5, proven=True), "processes of the lane io do not come up"),
        (Vitals(UP), "the store has not answered yet"),
        (Vitals(UP, 12.0, proven=True), "the store has not answered for 12 s"),
        (Vitals(UP, 0.5, proven=True, stalled_for=11.0), "nothing it takes has ended for 11 s"),
        (Vitals(UP, 0.5), "no job has ended yet"),
    ],
)  # fmt: skip
def test_one_that_does_not_says_why(vitals: Vitals, why: str) -> None:
    assert trouble(vitals).startswith(why)
