"""A lane in words, and what it takes from."""

import pytest

from penstock.worker.lane import Lane


@pytest.mark.parametrize(
    ("lane", "shape"),
    [
        (Lane("shop:app", 3), "prefork, 3 processes of 1 slots"),
        (Lane("shop:app", 8, least=1, most=8), "prefork, 1 to 8 processes"),
        (Lane("shop:app", 2, "threads", 50, least=5, most=100), "threads, 5 to 100 slots"),
    ],
)
def test_a_lane_in_words(lane: Lane, shape: str) -> None:
    assert lane.shape == shape


def test_what_it_takes_from() -> None:
    known = ["default", "mail", "cpu"]
    assert Lane("shop:app", 1).takes(known) == ("default", "mail", "cpu")
    assert Lane("shop:app", 1, others=("cpu",)).takes(known) == ("default", "mail")
    assert Lane("shop:app", 1, queues=("io", "cpu"), others=("cpu",)).takes(known) == ("io", "cpu")
    assert Lane("shop:app", 1, queues=("io", "cpu")).name == "io, cpu"
    assert Lane("shop:app", 1).name == "all others"
