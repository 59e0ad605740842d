"""Batch sizes that are told, and what makes no sense."""

import math
import os

import pytest

from penstock.core.adaptive import Adaptive
from penstock.core.sizing import ByDepth, Fixed, Plan
from penstock.errors import ConfigError

FULL = os.environ.get("PENSTOCK_CHAOS") == "full"


@pytest.mark.parametrize(
    ("depth", "size"),
    [
        (0, 1), (1, 1), (99, 1), (100, 100), (999, 100), (1000, 500), (10_000, 500), (10_001, 1000), (100_000, 1000),
        (10**9, 1000),
    ],
)  # fmt: skip
def test_by_depth(depth, size):
    assert ByDepth().next(depth, 0, 0.0) == Plan(size, 0.0, 1)


def test_by_depth_keeps_to_the_largest():
    assert ByDepth(max_size=300, batches=3).next(5000, 0, 0.0) == Plan(300, 0.0, 3)


def test_fixed_is_fixed():
    policy = Fixed(7, wait=0.2, batches=2)
    policy.ended(7, 100.0, 1.0)
    assert policy.next(10_000, 0, 2.0) == policy.next(0, 5, 3.0) == Plan(7, 0.2, 2)


@pytest.mark.parametrize(
    ("depth", "in_flight", "waited", "go"),
    [
        (0, 0, 9.0, 0),
        (9, 0, 0.1, 0),  # not full, and may wait
        (9, 0, 0.2, 9),
        (10, 0, 0.0, 10),
        (25, 1, 0.0, 10),
        (25, 2, 9.0, 0),  # enough under way
    ],
)
def test_when_a_batch_goes(depth, in_flight, waited, go):
    assert Plan(10, 0.2, 2).go(depth, in_flight, waited) == go


@pytest.mark.parametrize(
    "make",
    [
        lambda: Fixed(0),
        lambda: Fixed(1, wait=-1),
        lambda: Fixed(1, batches=0),
        lambda: ByDepth(()),
        lambda: ByDepth(((1, 1),)),
        lambda: ByDepth(((0, 1), (0, 2))),
        lambda: ByDepth(((0, 10), (5, 2))),
        lambda: Adaptive(target=0),
        lambda: Adaptive(target=math.nan),
        lambda: Adaptive(max_size=0),
        lambda: Adaptive(max_batches=0),
        lambda: Adaptive(max_wait=-0.1),
    ],
)
def test_what_makes_no_sense(make):
    with pytest.raises(ConfigError):
        make()
