"""Bisecting: all good rows go in, all bad ones are named, and it takes few writes."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.bisect import bisect
from penstock.errors import RowRejected


class Table:
    """Takes numbers; refuses any batch that holds a bad one, and may tell which."""

    def __init__(self, bad: set[int], guess: int | None = None) -> None:
        self.bad = bad
        self.guess = guess
        self.sent = 0
        self.rows: list[int] = []
        self.writes = 0

    def write(self, rows: Sequence[int]) -> None:
        self.writes += 1
        self.sent += len(rows)
        for index, row in enumerate(rows):
            if row in self.bad:
                raise RowRejected(f"no {row}", None if self.guess is None else max(0, index + self.guess))
        self.rows += rows


@given(st.integers(0, 300), st.sets(st.integers(0, 300)))
def test_good_rows_go_in_once_in_order_and_bad_ones_are_named(count: int, bad: set[int]) -> None:
    table = Table(bad)
    refused = bisect(table.write, range(count))
    assert refused == [(row, f"no {row}") for row in range(count) if row in bad]
    assert table.rows == [row for row in range(count) if row not in bad]
    assert table.writes <= max(1, 2 * count)


@pytest.mark.parametrize("bad", [0, 1, 499, 500, 511, 998, 999])
def test_one_bad_row_in_a_thousand_takes_few_writes(bad: int) -> None:
    table = Table({bad})
    assert len(bisect(table.write, range(1000))) == 1
    assert table.writes <= 21


@given(st.integers(0, 300), st.sets(st.integers(0, 300)), st.integers(-2, 2))
def test_a_guess_may_be_wrong(count: int, bad: set[int], guess: int) -> None:
    table = Table(bad, guess)
    assert bisect(table.write, range(count)) == [(row, f"no {row}") for row in range(count) if row in bad]
    assert table.rows == [row for row in range(count) if row not in bad]


@pytest.mark.parametrize(("bad", "writes", "sent"), [(range(511, 512), 4, 3000), (range(1000), 3000, 20_000)])
def test_a_database_that_tells_which_row_it_was_is_asked_less(bad: range, writes: int, sent: int) -> None:
    table = Table(set(bad), 0)
    assert len(bisect(table.write, range(1000))) == len(bad)
    assert table.writes <= writes
    assert table.sent <= sent


def test_no_bad_row_takes_one_write() -> None:
    table = Table(set())
    assert bisect(table.write, range(1000)) == []
    assert table.writes == 1


def test_no_rows_take_no_write() -> None:
    table = Table(set())
    assert bisect(table.write, []) == []
    assert table.writes == 0


def test_a_half_that_turns_out_good_goes_in_nevertheless() -> None:
    """A batch that failed for no lasting reason: every row is still tried."""
    table = Table(set())
    failures = iter([True])

    def write(rows: Sequence[int]) -> None:
        if next(failures, False):
            raise RowRejected("only once")
        table.write(rows)

    assert bisect(write, range(10)) == []
    assert table.rows == list(range(10))


def test_another_error_passes_through() -> None:
    def write(rows: Sequence[int]) -> None:
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError, match="gone"):
        bisect(write, [1, 2, 3])


def test_the_kind_of_error_can_be_chosen() -> None:
    def write(rows: Sequence[int]) -> None:
        if 2 in rows:
            raise KeyError(2)

    assert bisect(write, [1, 2, 3], KeyError) == [(1, "2")]
