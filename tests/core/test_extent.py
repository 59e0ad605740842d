"""How large a lane may be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.extent import Extent, parse_extent
from penstock.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "one_slot", "extent"),
    [
        ("8", True, Extent(8)),
        ("8,1", True, Extent(8, 1, 1)),
        (" 8 , 2 ", True, Extent(8, 1, 2)),
        ("1000", False, Extent(1, 1000)),
        ("1000,10", False, Extent(1, 1000, 10)),
        ("2x500", False, Extent(2, 500)),
        ("4x50,20", False, Extent(4, 50, 20)),
    ],
)
def test_sizes(text, one_slot, extent):
    assert parse_extent(text, one_slot=one_slot) == extent


@pytest.mark.parametrize(
    "text", ["", "0", "8,0", "1,8", "-8", "8x", "x8", "2x0", "8,1,1", "1e3", "²", "8.5", "10001", "9" * 5000]
)
@pytest.mark.parametrize("one_slot", [True, False])
def test_what_is_no_size(text, one_slot):
    with pytest.raises(ConfigError):
        parse_extent(text, one_slot=one_slot)


def test_a_pool_of_one_slot_has_no_slots_to_write():
    with pytest.raises(ConfigError, match="one slot"):
        parse_extent("2x3", one_slot=True)


@given(st.integers(1, 40), st.integers(1, 200), st.integers(-5, 9000))
def test_as_few_processes_as_will_do_make_the_slots_that_are_wanted(processes, slots, wanted):
    extent = Extent(processes, slots)
    used, each = extent.spread(wanted)
    assert 1 <= used <= processes
    assert 1 <= each <= slots
    wanted = max(1, min(wanted, extent.most))
    assert wanted <= used * each < wanted + used
    assert (used - 1) * slots < wanted
