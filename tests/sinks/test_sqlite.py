"""The SQLite sink: exactly once, all but the rows that are refused, into any table."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.errors import ConfigError, PayloadError, SinkError, StoreError
from penstock.sinks.base import OnConflict, Rejected, Written
from penstock.sinks.base import Target as Into
from penstock.sinks.sqlite.sink import SqliteSink


class Target:
    """A database file in a temporary folder, looked at through a connection of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "target.db"
        self.url = f"sqlite:///{self.path}"
        self.connection = sqlite3.connect(self.path, isolation_level=None)

    def run(self, statement: str) -> list[Any]:
        return self.connection.execute(statement).fetchall()

    def sink(self, table: str = "orders", **options: Any) -> SqliteSink:
        sink = SqliteSink(self.url, Into(table, **options))
        sink.open()
        return sink


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    target = Target(tmp_path)
    with closing(target.connection):
        yield target


def pack(*records: object) -> bytes:
    return msgspec.msgpack.encode(records)


def test_rows_go_in_and_repeated_batches_do_not(target: Target) -> None:
    target.run("create table orders (id integer primary key, price real, symbol text)")
    payload = pack({"id": 1, "price": 2.5, "symbol": "A"}, {"id": 2, "price": 3, "symbol": None}, {"id": 1})
    with target.sink() as sink:
        first = sink.write(b"job-1", payload)
        again = sink.write(b"job-1", payload)
        other = sink.write(b"job-2", pack({"id": 3}))
    assert first == Written(2, [Rejected(2, "UNIQUE constraint failed: orders.id")])
    assert again == Written(2, first.rejected, repeated=True)
    assert other == Written(1, [])
    assert target.run("select * from orders order by id") == [(1, 2.5, "A"), (2, 3.0, None), (3, None, None)]


def test_a_batch_without_rejects_repeats_as_well(target: Target) -> None:
    target.run("create table orders (id)")
    with target.sink() as sink:
        assert sink.write(b"a", pack({"id": 1})) == Written(1, [])
        assert sink.write(b"a", pack({"id": 1})) == Written(1, [], repeated=True)
    assert target.run("select count(*) from orders") == [(1,)]


def test_a_batch_that_was_forgotten_is_new(target: Target) -> None:
    target.run("create table orders (id)")
    with target.sink() as sink:
        sink.write(b"a", pack({"id": 1}), now=12.5)
        sink.write(b"b", pack({"id": 1}))
        assert target.run("select id, rows, at from penstock_ledger order by id")[0] == (b"a", 1, 12.5)
        sink.forget(b"unknown")
        sink.forget(b"a")
        assert target.run("select id from penstock_ledger") == [(b"b",)]
        assert sink.write(b"a", pack({"id": 1})) == Written(1, [])


def test_rows_and_ledger_go_in_together_or_not_at_all(target: Target) -> None:
    """What a kill between the rows and the commit leaves behind is what a rolled back transaction does: nothing."""
    target.run("create table orders (id integer)")
    with target.sink() as sink:
        target.run("create trigger no_ledger before insert on penstock_ledger begin select raise(abort, 'killed'); end")
        with pytest.raises(StoreError, match="killed"):
            sink.write(b"a", pack({"id": 1}))
        assert target.run("select count(*) from orders") == [(0,)]
        target.run("drop trigger no_ledger")
        with target.sink() as second:
            assert second.write(b"a", pack({"id": 1})) == Written(1, [])
        assert sink.write(b"a", pack({"id": 1})) == Written(1, [], repeated=True)
    assert target.run("select count(*) from orders") == [(1,)]


def test_bad_rows_are_found_by_the_databases_own_message(target: Target) -> None:
    target.run("create table orders (id integer primary key, quantity integer not null check (quantity > 0))")
    records = [{"id": number, "quantity": number % 100} for number in range(1000)]
    with target.sink() as sink:
        written = sink.write(b"a", pack(*records))
    assert written.rows == 990
    assert [row.index for row in written.rejected] == list(range(0, 1000, 100))
    assert {row.reason for row in written.rejected} == {"CHECK constraint failed: quantity > 0"}
    assert target.run("select count(*) from orders where quantity > 0") == [(990,)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
@given(st.lists(st.one_of(st.integers(-3, 3), st.none(), st.just("x"), st.just(2**64 - 1)), max_size=40))
def test_every_row_is_either_in_the_table_or_rejected(target: Target, values: list[Any]) -> None:
    target.run("drop table if exists orders")
    target.run("create table orders (n integer not null check (n >= 0), at integer unique)")
    records = [{"n": value, "at": index // 2 if value == 3 else index} for index, value in enumerate(values)]
    with target.sink() as sink:
        written = sink.write(b"a", pack(*records))
        sink.forget(b"a")
    refused = [row.index for row in written.rejected]
    assert refused == sorted(set(refused))
    assert target.run("select count(*) from orders") == [(written.rows,)]
    assert written.rows + len(refused) == len(values)
    good = [value for index, value in enumerate(values) if index not in refused]
    assert [row[0] for row in target.run("select n from orders order by rowid")] == good
    assert all(value in range(4) for value in good)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"id": "seven"}, "Expected `bool | int | null`, got `str` - at `$.id`"),
        ({"id": 1.5}, "Expected `bool | int | null`, got `float` - at `$.id`"),
        ({"price": [1]}, "Expected `float | null`, got `array` - at `$.price`"),
        ({"colour": "red"}, "the table has no column for the field 'colour'"),
        (5, "Expected `object`, got `int`"),
        ({"id": 2**64 - 1}, "Python int too large to convert to SQLite INTEGER"),
    ],
)
def test_a_record_that_does_not_fit_is_rejected_by_itself(target: Target, record: object, reason: str) -> None:
    target.run("create table orders (id integer, price real, symbol text)")
    with target.sink() as sink:
        written = sink.write(b"a", pack({"id": 1}, record, {"id": 2}))
    assert written == Written(2, [Rejected(1, reason)])
    assert target.run("select id from orders") == [(1,), (2,)]


def test_values_are_converted_to_the_columns_types(target: Target) -> None:
    target.run("create table orders (i integer, r real, t text, b blob, n numeric)")
    nested = {"legs": [1, {"x": "ü"}]}
    with target.sink() as sink:
        written = sink.write(
            b"a",
            pack(
                {"i": "12", "r": "1.5", "t": "x", "b": "y", "n": 7},
                {"i": True, "r": 3, "t": nested, "b": b"\x00\xff", "n": [1, 2]},
                {"i": 4.0, "r": None, "t": 5, "b": None, "n": True},
            ),
        )
    assert written == Written(3, [])
    assert target.run("select * from orders") == [
        (12, 1.5, "x", "y", 7),
        (1, 3.0, '{"legs":[1,{"x":"ü"}]}', b"\x00\xff", "[1,2]"),
        (4, None, "5", None, 1),
    ]


def test_a_column_with_a_default_takes_it_where_the_field_is_missing(target: Target) -> None:
    target.run(
        "create table orders (id integer primary key, state text not null default 'new', size integer default 1)"
    )
    with target.sink() as sink:
        first = sink.write(b"a", pack({}, {"size": 5}, {"state": "old"}, {"id": 9, "state": None}, {"size": None}))
        second = sink.write(b"b", pack({"state": ["nested"]}, {}))
    assert first == Written(4, [Rejected(3, "NOT NULL constraint failed: orders.state")])
    assert second == Written(2, [])
    assert target.run("select * from orders") == [
        (1, "new", 1),
        (2, "new", 5),
        (3, "old", 1),
        (4, "new", None),
        (5, '["nested"]', 1),
        (6, "new", 1),
    ]


def test_a_table_is_created_from_sample_records(target: Target) -> None:
    sample = [
        {"id": 1, "price": 5, "ok": True, "note": None, "mixed": 1},
        {"id": 2, "price": 1.5, "ok": False, "legs": [1], "mixed": "x", "raw": b"q"},
    ]
    with target.sink() as sink:
        assert not sink.exists()
        sink.create(sample)
        sink.create(sample)
        assert sink.exists()
        assert sink.write(b"a", pack(*sample)) == Written(2, [])
    columns = target.run("select name, type from pragma_table_info('orders')")
    assert dict(columns) == {
        "id": "INTEGER",
        "price": "REAL",
        "ok": "INTEGER",
        "note": "TEXT",
        "mixed": "TEXT",
        "legs": "TEXT",
        "raw": "BLOB",
    }
    assert target.run("select price, legs, mixed from orders") == [(5.0, None, "1"), (1.5, "[1]", "x")]


@pytest.mark.parametrize("sample", [[], [{}], [{"": 1}], [{"a\x00b": 1}], [{"a": 1, "A": 2}]])
def test_a_table_that_can_not_be_created_is_a_clear_error(target: Target, sample: list[dict[str, Any]]) -> None:
    with target.sink() as sink, pytest.raises(SinkError):
        sink.create(sample)


def test_a_missing_table_is_an_error_that_names_the_flag(target: Target) -> None:
    with target.sink() as sink:
        with pytest.raises(SinkError, match=r"there is no table 'orders' in .*--create"):
            sink.write(b"a", pack({"id": 1}))
        target.run("create table orders (id)")
        assert sink.write(b"a", pack({"id": 1})).rows == 1
        target.run("drop table orders")
        with pytest.raises(SinkError, match="--create"):
            sink.write(b"b", pack({"id": 1}))


def test_a_table_that_changes_is_read_again(target: Target) -> None:
    target.run("create table orders (id integer)")
    with target.sink() as sink:
        assert len(sink.write(b"a", pack({"id": 1, "extra": 2})).rejected) == 1
        target.run("alter table orders add column extra text")
        assert sink.write(b"b", pack({"id": 1, "extra": "2"})) == Written(1, [])


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=12)
INJECTIONS = [
    'x"); drop table kept; --',
    "x'); drop table kept; --",
    "select",
    'a"b',
    "a\\b",
    "a\nb",
    "a b",
    "$",
    "?1",
    ":a",
    "class",
]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(
    NAMES.filter(lambda name: not name.lower().startswith(("sqlite_", "penstock_ledger", "kept")))
    | st.sampled_from(INJECTIONS),
    st.lists(NAMES | st.sampled_from(INJECTIONS), min_size=1, max_size=5, unique_by=str.lower),
)
def test_no_name_of_a_table_or_column_is_taken_for_sql(target: Target, table: str, columns: list[str]) -> None:
    target.run("create table if not exists kept (id)")
    record = {name: number for number, name in enumerate(columns)}
    with target.sink(table) as sink:
        sink.create([record])
        assert sink.write(b"a", pack(record, {**record, "no such column": 1})).rows == 1
        sink.forget(b"a")
    name = '"' + table.replace('"', '""') + '"'
    with closing(target.connection.execute(f"select * from {name}")) as cursor:
        assert [column[0] for column in cursor.description] == columns
        assert cursor.fetchall() == [tuple(range(len(columns)))]
    target.run(f"drop table {name}")
    assert target.run("select * from kept") == []


def test_an_awkward_column_is_not_filled_through_its_stand_in(target: Target) -> None:
    target.run('create table orders ("a""b" integer)')
    with target.sink() as sink:
        written = sink.write(b"a", pack({'a"b': 1}, {"a\u201db": 2}))
    assert written.rows == 1
    assert [row.index for row in written.rejected] == [1]


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x92\x80", pack(1)[1:], msgspec.msgpack.encode({"a": 1})])
def test_a_payload_that_is_no_list_is_an_error(target: Target, payload: bytes) -> None:
    target.run("create table orders (id)")
    with target.sink() as sink, pytest.raises(PayloadError):
        sink.write(b"a", payload)


def test_an_empty_batch_is_written_once(target: Target) -> None:
    target.run("create table orders (id)")
    with target.sink() as sink:
        assert sink.write(b"a", pack()) == Written(0, [])
        assert sink.write(b"a", pack()) == Written(0, [], repeated=True)


def test_a_table_that_rolls_back_on_conflict_is_a_clear_error(target: Target) -> None:
    target.run("create table orders (id integer unique on conflict rollback)")
    with target.sink() as sink:
        with pytest.raises(SinkError, match="ON CONFLICT ROLLBACK"):
            sink.write(b"a", pack({"id": 1}, {"id": 1}))
        assert target.run("select count(*) from orders") == [(0,)]
        assert sink.write(b"b", pack({"id": 1})) == Written(1, [])


def test_a_tables_own_conflict_rule_holds(target: Target) -> None:
    target.run("create table orders (id integer unique on conflict replace, n integer)")
    with target.sink() as sink:
        assert sink.write(b"a", pack({"id": 1, "n": 1}, {"id": 1, "n": 2})).rejected == []
    assert target.run("select * from orders") == [(1, 2)]


@pytest.mark.parametrize(
    ("url", "table"), [("sqlite:///x.db?colour=red", "t"), ("sqlite:///x.db", "penstock_ledger"), ("mysql://h/x", "t")]
)
def test_a_setting_that_can_not_be_used_is_an_error(url: str, table: str) -> None:
    with pytest.raises(ConfigError):
        SqliteSink(url, Into(table))


@pytest.mark.parametrize("table", ["", "a\x00b", "\ud800"])
def test_a_name_that_sql_can_not_hold_is_an_error(table: str) -> None:
    with pytest.raises(SinkError, match="can't be the name"):
        SqliteSink("sqlite:///x.db", Into(table))


def test_a_closed_sink_says_so(target: Target) -> None:
    sink = target.sink()
    sink.close()
    sink.close()
    with pytest.raises(SinkError, match="not open"):
        sink.write(b"a", pack())


@pytest.mark.parametrize("strict", ["", " strict"])
def test_columns_of_numbers_are_added_to_and_no_others(target: Target, strict: str) -> None:
    loose = "" if strict else ", d decimal(10, 2), yes boolean, at datetime, free"
    target.run(f"create table orders (k text primary key, i integer, r real, t text, b blob{loose}){strict}")
    with target.sink(on_conflict=OnConflict.ADD) as sink:
        first = {"k": "x", "i": 1, "r": 0.5, "t": "1", "b": b"1"}
        more = {} if strict else {"d": 1.25, "yes": True, "at": 1_790_000_000, "free": 1}
        sink.write(b"a", pack(first | more, {"k": "y"}))
        batch = [first | more, {"k": "y", "i": 5}, {"k": "y", "i": None}, {"k": "x", "i": 1, "t": None}]
        assert sink.write(b"b", pack(*batch, {"k": "y", "i": 6})) == Written(5, [])
    assert target.run("select i, r, t, b from orders where k = 'x'") == [(3, 1.0, None, b"1")]
    assert target.run("select i, r from orders where k = 'y'") == [(11, None)]
    if not strict:
        assert target.run("select d, yes, at, free from orders where k = 'x'") == [(2.5, 1, 1_790_000_000, 1)]


def test_what_is_no_number_in_a_column_of_numbers_is_replaced(target: Target) -> None:
    target.run("create table orders (k integer primary key, n numeric)")
    target.run("insert into orders values (1, 'text'), (2, 5), (3, null)")
    with target.sink(on_conflict=OnConflict.ADD) as sink:
        sink.write(b"a", pack(*({"k": k, "n": 2} for k in (1, 2, 3)), {"k": 2, "n": "more"}, {"k": 2, "n": None}))
    assert target.run("select n from orders order by k") == [(2,), ("more",), (2,)]
    target.run("create table loose (n integer)")
    with target.sink("loose", on_conflict=OnConflict.ADD) as sink, pytest.raises(SinkError, match="no primary key"):
        sink.write(b"a", pack({"n": 1}))
