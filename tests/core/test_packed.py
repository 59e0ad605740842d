"""Packed rows."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.packed import ROW_ITEMS, Packed, pack, repack, row_size, rows

ascending = st.lists(st.integers(0, 2**40), min_size=1, max_size=30, unique=True).map(sorted)


def unpack(payload: bytes) -> Packed[str]:
    return msgspec.msgpack.decode(payload, type=Packed[str])


@given(ascending)
def test_each_item_keeps_its_number(numbers: list[int]) -> None:
    packed = unpack(pack([str(number) for number in numbers], numbers))
    assert [packed.number(index) for index in range(len(numbers))] == numbers
    assert packed.items == [str(number) for number in numbers]


@given(ascending, st.data())
def test_the_rest_keeps_them_too(numbers: list[int], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(numbers)))
    rest = unpack(repack(unpack(pack([str(number) for number in numbers], numbers)).rest(index)))
    assert [(rest.number(at), item) for at, item in enumerate(rest.items)] == [(n, str(n)) for n in numbers[index:]]


def test_numbers_without_gaps_cost_nothing() -> None:
    assert unpack(pack(["a", "b"], [7, 8])).numbers is None
    assert len(pack([0] * 1000, range(1000))) < 1010


@pytest.mark.parametrize("first", [-1, 2**62, 2**64 - 1])
def test_a_number_that_no_store_could_hold_is_no_packed_row(first: int) -> None:
    with pytest.raises(msgspec.ValidationError):
        unpack(msgspec.msgpack.encode((["a"], first, None)))
    with pytest.raises(msgspec.ValidationError):
        unpack(msgspec.msgpack.encode((["a"], 0, [first])))


@given(st.integers(0, 10**6), st.integers(1, 64))
def test_rows_cover_every_item_once(count: int, workers: int) -> None:
    size = row_size(count, workers)
    spans = list(rows(count, size))
    assert 1 <= size <= ROW_ITEMS
    assert sum(len(span) for span in spans) == count
    assert [span.start for span in spans] == list(range(0, count, size))
    if count >= workers * 4:
        assert len(spans) >= workers * 2
