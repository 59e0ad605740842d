"""Numbers in CSV files."""

from __future__ import annotations

import pytest

from penstock.load.infer import with_numbers


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["1", "-20", None], [1, -20, None]),
        (["1", "2.5"], [1.0, 2.5]),
        (["1e3", "0.1"], [1000.0, 0.1]),
        (["007", "8"], ["007", "8"]),
        (["+49", "1"], ["+49", "1"]),
        (["1", "one"], ["1", "one"]),
        (["nan", "1"], ["nan", "1"]),
        ([None, None], [None, None]),
    ],
)
def test_a_column_of_nothing_but_numbers_is_one(texts: list[str | None], values: list[object]) -> None:
    found = with_numbers([{"x": text} for text in texts])
    assert [record["x"] for record in found] == values
    assert [type(record["x"]) for record in found] == [type(value) for value in values]
