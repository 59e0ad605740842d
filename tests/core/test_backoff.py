"""How long a failed job waits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.backoff import Backoff
from penstock.errors import ConfigError


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_the_wait_is_between_half_and_all_of_the_ceiling(retry: int, chance: float) -> None:
    ceiling = min(3600.0, 2.0 ** min(retry - 1, 100))
    assert ceiling / 2 <= Backoff().delay(retry, chance) <= ceiling


def test_it_doubles() -> None:
    assert [Backoff(first=3).delay(retry, 0) for retry in (1, 2, 3)] == [1.5, 3, 6]


def test_it_has_an_end() -> None:
    assert Backoff(longest=10).delay(10**6, 0.999999) == pytest.approx(10, rel=1e-4)


@pytest.mark.parametrize("wrong", [{"first": -1}, {"factor": 0.5}, {"longest": -1}], ids=str)
def test_what_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="backoff"):
        Backoff(**wrong)
