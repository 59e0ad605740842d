"""Job ids are RFC 9562 UUIDs of version 7."""

from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.ids import format_id, parse_id, uuid7, uuid7s

MILLISECONDS = st.integers(0, 2**48 - 1)
ENTROPY = st.binary(min_size=10, max_size=10)


@given(MILLISECONDS, ENTROPY, st.integers(1, 50))
def test_version_variant_and_time_are_in_their_places(milliseconds: int, entropy: bytes, count: int) -> None:
    for id in uuid7s(count, milliseconds, entropy):
        uuid = UUID(bytes=id)
        assert uuid.version == 7
        assert uuid.variant == RFC_4122
        assert uuid.int >> 80 == milliseconds


@given(MILLISECONDS, ENTROPY, st.integers(1, 200))
def test_a_run_ascends_and_repeats_none(milliseconds: int, entropy: bytes, count: int) -> None:
    ids = uuid7s(count, milliseconds, entropy)
    assert ids == sorted(set(ids))
    assert len(ids) == count


@given(MILLISECONDS, ENTROPY, ENTROPY)
def test_a_later_millisecond_sorts_after(milliseconds: int, first: bytes, second: bytes) -> None:
    later = min(milliseconds + 1, 2**48 - 1)
    if later > milliseconds:
        assert uuid7s(100, milliseconds, first)[-1] < uuid7s(1, later, second)[0]


def test_all_random_bits_are_used() -> None:
    (low,), (high,) = uuid7s(1, 0, b"\0" * 10), uuid7s(1, 0, b"\xff" * 10)
    assert UUID(bytes=high).int - UUID(bytes=low).int == (0xFFF << 64) | (2**62 - 1 - 2**29)


@given(ENTROPY)
def test_text_and_back(entropy: bytes) -> None:
    (id,) = uuid7s(1, 1, entropy)
    assert parse_id(format_id(id)) == id


def test_text_that_is_no_id() -> None:
    with pytest.raises(ValueError, match="badly formed"):
        parse_id("42")


@given(MILLISECONDS, ENTROPY)
def test_one_by_itself_has_them_all_too(milliseconds: int, entropy: bytes) -> None:
    uuid = UUID(bytes=uuid7(milliseconds, entropy))
    assert (uuid.version, uuid.variant, uuid.int >> 80) == (7, RFC_4122, milliseconds)
    low, high = UUID(bytes=uuid7(0, b"\0" * 10)), UUID(bytes=uuid7(0, b"\xff" * 10))
    assert high.int - low.int == (0xFFF << 64) | (2**62 - 1)
