"""The name of a table or a column that looks like SQL is a name, or refused in one line."""

from typing import Any

import msgspec
import pytest
from places import Place

from penstock.errors import PenstockError
from penstock.sinks import open_sink
from penstock.sinks.base import OnConflict, Target

HOSTILE = [
    'x"; drop table orders; --',
    "x'; drop table orders; --",
    'x") values (1); delete from orders; --',
    "%s %(n)s {0} ? :n $1",
    "$where",
    "$set",
    "a.b",
    "x\ny",
    "-- x",
    "x\\",
    " ",
]
BAD = ["", "\0", "x\0y", "\ud800"]


def pack(*records: dict[str, Any]) -> bytes:
    return msgspec.msgpack.encode(records)


def untouched(place: Place) -> None:
    assert [each[0] for each in place.orders()] == [7]


@pytest.fixture
def kept(place: Place) -> Place:
    """A place with one order in it."""
    with place.sink() as sink:
        sink.write(b"first", pack({"id": 7, "n": 1}))
    return place


def test_a_table_of_any_name(kept: Place) -> None:
    said: list[str] = []
    for number, name in enumerate([*HOSTILE, *BAD]):
        try:
            with open_sink(kept.url, Target(name, OnConflict.ERROR, kept.key)) as sink:
                sink.create([{"id": 1, "n": 1}])
                assert sink.write(b"%d" % number, pack({"id": 1, "n": 1})).rows == 1
        except PenstockError as error:
            said.append(str(error))
        untouched(kept)
    assert [text for text in said if "\n" in text] == []


@pytest.mark.parametrize("how", [OnConflict.ERROR, OnConflict.UPDATE, OnConflict.IGNORE])
def test_a_column_of_any_name(kept: Place, how: OnConflict) -> None:
    names = [*HOSTILE]
    with open_sink(kept.url, Target("wide", how, ("id",))) as sink:
        sink.create([{"id": 1, **dict.fromkeys(names, "text")}])
        for turn in range(2):
            written = sink.write(b"%d" % turn, pack({"id": turn // 2, **dict.fromkeys(names, f"v{turn}")}))
            assert written.rows + len(written.rejected) == 1
    untouched(kept)


def test_a_field_that_no_column_can_be_named_by(kept: Place) -> None:
    with kept.sink() as sink:
        for number, name in enumerate([*HOSTILE, *BAD[:-1]]):
            written = sink.write(b"%d" % number, pack({"id": 7, name: 1}))
            assert written.rows + len(written.rejected) == 1
    untouched(kept)


def test_a_key_of_any_name(kept: Place) -> None:
    said: list[str] = []
    for name in [*HOSTILE, *BAD]:
        try:
            with open_sink(kept.url, Target("orders", OnConflict.UPDATE, (name,))) as sink:
                sink.write(b"key", pack({"id": 7, "n": 2}))
        except PenstockError as error:
            said.append(str(error))
        untouched(kept)
    assert [text for text in said if "\n" in text] == []
