"""The PostgreSQL sink: every type, every way a table can refuse a row, and tables that change."""

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import msgspec
import psycopg
import pytest
from places import PostgresPlace

from penstock.chaos.proxy import Proxy
from penstock.errors import ConfigError, SinkError, StoreUnavailable
from penstock.sinks.base import OnConflict, Rejected, Target, Written
from penstock.sinks.postgres.sink import PostgresSink
from penstock.testing.servers import PostgresServer
from penstock.testing.servers.process import LOOPBACK

ADD = OnConflict.ADD


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> PostgresPlace:
    return PostgresPlace(postgres_server)


@pytest.fixture
def place(database: PostgresPlace) -> Iterator[PostgresPlace]:
    """One database for all tests here; each begins without tables."""
    database.run("drop schema if exists market cascade; drop schema public cascade; create schema public")
    return database


def pack(*records: object) -> bytes:
    return msgspec.msgpack.encode(records)


def sink(place: PostgresPlace, table: str = "orders", **options: Any) -> PostgresSink:
    made = PostgresSink(place.url, Target(table, **options))
    made.open()
    return made


TYPES = {
    "small": ("smallint", 7, "7"),
    "whole": ("integer", 7, "7"),
    "big": ("bigint", -(2**63), str(-(2**63))),
    "single": ("real", 1.5, "1.5"),
    "double": ("double precision", 0.1, "0.1"),
    "exact": ("numeric(10,2)", 12.345, "12.35"),
    "yes": ("boolean", True, "true"),
    "name": ("text", "ü\t\\\n\u20ac", "ü\t\\\n\u20ac"),
    "code": ("varchar(5)", "abc", "abc"),
    "fixed": ("char(3)", "abc", "abc"),
    "nested": ("jsonb", {"a": [1, {"b": None}]}, '{"a": [1, {"b": null}]}'),
    "plain": ("json", [1, "x"], '[1,"x"]'),
    "key": ("uuid", "12345678-1234-5678-1234-567812345678", "12345678-1234-5678-1234-567812345678"),
    "raw": ("bytea", b"\x00\xff", "\\x00ff"),
    "day": ("date", "2026-01-05", "2026-01-05"),
    "clock": ("time", "10:11:12.5", "10:11:12.5"),
    "local": ("timestamp", "2026-01-05T09:30:00", "2026-01-05 09:30:00"),
    "moment": ("timestamptz", "2026-01-05T09:30:00+02:00", "2026-01-05 07:30:00+00"),
    "side": ("side", "buy", "buy"),
    "positive": ("positive", 5, "5"),
}
#: Those that COPY gets as text, and with them their whole table.
TEXT_TYPES = {
    "tags": ("text[]", ["a", 'b"\\,', None], '{a,"b\\"\\\\,",NULL}'),
    "grid": ("int[]", [[1, 2], [3, 4]], "{{1,2},{3,4}}"),
    "address": ("inet", "10.0.0.1", "10.0.0.1/32"),
    "span": ("interval", "1 day", "1 day"),
}


def typed_table(place: PostgresPlace, types: dict[str, tuple[str, Any, str]]) -> None:
    place.run("create type side as enum ('buy', 'sell'); create domain positive as integer check (value > 0)")
    place.run(f"create table orders ({', '.join(f'{name} {type}' for name, (type, _, _) in types.items())})")


def shown(place: PostgresPlace, types: dict[str, Any]) -> list[tuple[str | None, ...]]:
    place.run("alter database " + place.url.rpartition("/")[2] + " set timezone = 'UTC'")
    return place.run("select " + ", ".join(f"{name}::text" for name in types) + " from orders")


@pytest.mark.parametrize("types", [TYPES, {**TYPES, **TEXT_TYPES}], ids=["binary", "text"])
def test_values_of_every_type_go_in(place: PostgresPlace, types: dict[str, tuple[str, Any, str]]) -> None:
    typed_table(place, types)
    record = {name: value for name, (_, value, _) in types.items()}
    with sink(place) as writing:
        assert writing.write(b"a", pack(record, dict.fromkeys(types), {})) == Written(3, [])
    expected = tuple(text for *_, text in types.values())
    assert shown(place, types) == [expected, (None,) * len(types), (None,) * len(types)]


def test_a_value_means_the_same_beside_any_neighbour(place: PostgresPlace) -> None:
    """A record of the wrong type makes COPY take the batch as text; the others must not change by that."""
    typed_table(place, TYPES)
    record = {name: value for name, (_, value, _) in TYPES.items()}
    with sink(place) as writing:
        writing.write(b"a", pack(record))
        assert writing.write(b"b", pack(record, {"whole": "seven"})).rows == 1
    first, second = shown(place, TYPES)
    assert first == second


@pytest.mark.parametrize(
    ("type", "value", "reason"),
    [
        ("integer", "seven", 'invalid input syntax for type integer: "seven"'),
        ("integer", 2**31, 'value "2147483648" is out of range for type integer'),
        ("integer", 1.5, 'invalid input syntax for type integer: "1.5"'),
        ("smallint", True, 'invalid input syntax for type smallint: "true"'),
        ("date", "tomorrowish", 'invalid input syntax for type date: "tomorrowish"'),
        ("timestamptz", "2026-13-01T00:00:00Z", 'date/time field value out of range: "2026-13-01T00:00:00Z"'),
        ("text", "a\0b", 'invalid byte sequence for encoding "UTF8": 0x00'),
        ("jsonb", {"a": "\0"}, "unsupported Unicode escape sequence"),
        ("varchar(3)", "long", "value too long for type character varying(3)"),
        ("uuid", "x", 'invalid input syntax for type uuid: "x"'),
        ("integer[]", ["x"], 'invalid input syntax for type integer: "x"'),
        ("boolean", {"a": 1}, 'invalid input syntax for type boolean: "{"a":1}"'),
        ("real", 1e39, '"1e+39" is out of range for type real'),
        ("integer not null", None, 'null value in column "v" of relation "orders" violates not-null constraint'),
        ("integer", msgspec.msgpack.Ext(5, b""), "a msgpack extension (code 5) can't be stored"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_the_reason(
    place: PostgresPlace, type: str, value: Any, reason: str
) -> None:
    place.run(f"create table orders (id integer primary key, v {type})")
    good = {"integer[]": [1], "jsonb": {}, "uuid": "0" * 32, "boolean": False, "date": "2026-01-01"}.get(type, "1")
    good = "2026-01-01" if "time" in type else good
    with sink(place) as writing:
        written = writing.write(b"a", pack({"id": 1, "v": good}, {"id": 2, "v": value}, {"id": 3, "v": good}))
    assert written == Written(2, [Rejected(1, reason)])
    assert place.run("select id from orders order by id") == [(1,), (3,)]


@pytest.mark.parametrize("number", [4, 4.0], ids=["binary", "text"])
def test_text_columns_take_what_is_not_text(place: PostgresPlace, number: float) -> None:
    place.run("create table orders (n integer, v text, j jsonb)")
    given = [5, 1.5, True, {"a": [1]}, [1], "plain", None]
    with sink(place) as writing:
        batch = pack({"n": number}, *({"v": value} for value in given), {"j": "x"}, {"j": "[1]"})
        assert writing.write(b"a", batch).rejected == []
    written = [text for (text,) in place.run("select v from orders where v is not null")]
    assert written == ["5", "1.5", "true", '{"a":[1]}', "[1]", "plain"]
    assert place.run("select j::text from orders where j is not null") == [('"x"',), ("[1]",)]
    assert place.run("select n from orders where n is not null") == [(4,)]


def test_defaults_fill_what_is_missing_and_null_is_null(place: PostgresPlace) -> None:
    place.run(
        "create table orders (id bigint generated always as identity primary key, state text default 'new', "
        "made timestamptz not null default now(), twice integer generated always as (n * 2) stored, n integer)"
    )
    with sink(place) as writing:
        batch = pack({"n": 1}, {"n": 2, "state": None}, {"id": 9, "n": 3, "state": "old"}, {}, {"twice": 1})
        written = writing.write(b"a", batch)
    assert written == Written(4, [Rejected(4, "the table has no column for the field 'twice'")])
    assert sorted(place.run("select n, state, twice from orders"), key=str) == [
        (1, "new", 2), (2, None, 4), (3, "old", 6), (None, "new", None),
    ]  # fmt: skip
    assert place.run("select n from orders where id = 9") == [(3,)]


def test_a_table_may_be_named_with_its_schema(place: PostgresPlace) -> None:
    place.run('create schema market; create table market.orders (id int); create table "a.b" (id int)')
    with sink(place, "market.orders") as first, sink(place, "a.b") as second:
        assert first.write(b"a", pack({"id": 1})).rows == second.write(b"b", pack({"id": 2})).rows == 1
    assert place.run('select id from market.orders union all select id from "a.b"') == [(1,), (2,)]
    with sink(place, "market.new", key=("id",)) as made:
        made.create([{"id": 1}])
        assert made.exists()
    with sink(place, "nowhere.new") as made, pytest.raises(SinkError, match="nowhere"):
        made.create([{"id": 1}])


def test_constraints_of_every_kind_refuse_only_their_rows(place: PostgresPlace) -> None:
    place.run("create table accounts (id integer primary key); insert into accounts values (1)")
    place.run(
        "create table orders (id integer primary key, account integer references accounts, "
        "later integer references accounts deferrable initially deferred, n integer)"
    )
    place.run(
        "create function no() returns trigger language plpgsql as "
        "$$ begin if new.n = 7 then raise exception 'no sevens'; end if; return new; end $$"
    )
    place.run("create trigger no before insert on orders for each row execute function no()")
    batch = [{"id": n, "account": 1, "later": 1, "n": 0} for n in range(100)]
    batch[10]["account"], batch[20]["later"], batch[30]["n"], batch[40]["id"] = 2, 3, 7, 39
    with sink(place) as writing:
        written = writing.write(b"a", pack(*batch))
    assert written.rows == 96
    assert {each.index: each.reason.partition(" constraint")[0] for each in written.rejected} == {
        10: 'insert or update on table "orders" violates foreign key',
        20: 'insert or update on table "orders" violates foreign key',
        30: "no sevens",
        40: "duplicate key value violates unique",
    }


def test_rows_that_a_policy_refuses_are_refused_alone(place: PostgresPlace) -> None:
    place.run("create table orders (n integer); alter table orders enable row level security")
    place.run("create policy p on orders with check (n > 0)")
    place.run("drop role if exists clerk; create role clerk login; grant create, usage on schema public to clerk")
    place.run("grant all on orders to clerk")
    url = place.url.replace("postgres@", "clerk@")
    with PostgresSink(url, Target("orders")) as writing:
        written = writing.write(b"a", pack({"n": 1}, {"n": -1}))
        assert (written.rows, written.rejected[0].index) == (1, 1)
    place.run("revoke insert on orders from clerk")
    with PostgresSink(url, Target("orders")) as writing, pytest.raises(SinkError, match="grant"):
        writing.write(b"b", pack({"n": 1}))


def test_a_view_is_written_as_well(place: PostgresPlace) -> None:
    place.run("create table stored (n integer check (n > 0)); create view orders as select n from stored")
    with sink(place) as writing:
        assert writing.write(b"a", pack({"n": 1}, {"n": -1}, {"n": 2})).rows == 2
    assert place.run("select n from stored") == [(1,), (2,)]


def test_a_table_that_changes_is_read_again(place: PostgresPlace) -> None:
    place.run("create table orders (id integer)")
    with sink(place) as writing:
        assert len(writing.write(b"a", pack({"id": 1, "extra": "2"})).rejected) == 1
        place.run("alter table orders add column extra text")
        assert writing.write(b"b", pack({"id": 1, "extra": "2"})) == Written(1, [])
        place.run("alter table orders alter column id type text")
        assert writing.write(b"c", pack({"id": "x"})) == Written(1, [])
        place.run("alter table orders drop column extra")
        assert writing.write(b"d", pack({"id": "x", "extra": "y"})).rows == 0
        place.run("drop table orders; create table orders (name text)")
        assert writing.write(b"e", pack({"name": "x"})) == Written(1, [])
        place.run("drop table orders")
        with pytest.raises(SinkError, match="--create"):
            writing.write(b"f", pack({"name": "x"}))


def test_a_table_is_created_from_sample_records(place: PostgresPlace) -> None:
    sample = [
        {"id": 1, "price": 5, "ok": True, "note": None, "mixed": 1, "at": "2026-01-05T09:30:00Z", "huge": 2**64},
        {"id": 2, "price": 1.5, "ok": False, "legs": [1], "mixed": "x", "raw": b"q", "huge": 1, "at": None},
    ]
    with sink(place, key=("id",)) as writing:
        assert not writing.exists()
        writing.create(sample)
        writing.create(sample)
        small = [{**record, "huge": 1} for record in sample]
        assert writing.write(b"a", pack(*small)) == Written(2, [])
    columns = place.run("select column_name, data_type from information_schema.columns where table_name = 'orders'")
    assert dict(columns) == {
        "id": "bigint",
        "price": "double precision",
        "ok": "boolean",
        "note": "text",
        "mixed": "text",
        "at": "timestamp with time zone",
        "huge": "numeric",
        "legs": "jsonb",
        "raw": "bytea",
    }
    with pytest.raises(psycopg.errors.UniqueViolation):
        place.run("insert into orders (id) values (1)")


@pytest.mark.parametrize("sample", [[], [{}], [{"": 1}], [{"a\0b": 1}], [{"x" * 64: 1}]])
def test_a_table_that_can_not_be_created_is_a_clear_error(place: PostgresPlace, sample: list[dict[str, Any]]) -> None:
    with sink(place) as writing, pytest.raises(SinkError):
        writing.create(sample)


@pytest.mark.parametrize(
    "name", ['x"); drop table kept; --', "select", 'a"b', "a\\b", "a\nb", "a b", "%s", ":a", "{0}", "$1", "Ü"]
)
def test_no_name_is_taken_for_sql(place: PostgresPlace, name: str) -> None:
    place.run("create table kept (id integer)")
    for number, how in enumerate(OnConflict, 1):
        with sink(place, name, on_conflict=how, key=(name,)) as writing:
            writing.create([{name: 1, "other": 1}])
            assert writing.write(how.encode(), pack({name: number, "other": 2})) == Written(1, [])
            assert len(writing.write(how.encode() + b"2", pack({name: number}, {"x" + name: 1})).rejected) == (
                2 if how is OnConflict.ERROR else 1
            )
    place.run("select * from kept")


def test_conflicts_of_any_unique_index_are_ignored_but_updates_take_the_key(place: PostgresPlace) -> None:
    place.run("create table orders (id integer primary key, code text unique, n integer)")
    with sink(place) as writing:
        writing.write(b"a", pack({"id": 1, "code": "x", "n": 1}))
    with sink(place, on_conflict=OnConflict.IGNORE) as writing:
        assert writing.write(b"b", pack({"id": 2, "code": "x"}, {"id": 1, "code": "y"})) == Written(2, [])
    with sink(place, on_conflict=OnConflict.UPDATE) as writing:
        written = writing.write(b"c", pack({"id": 2, "code": "x"}, {"id": 1, "n": 2}))
        assert [each.index for each in written.rejected] == [0]
    with sink(place, on_conflict=OnConflict.UPDATE, key=("code",)) as writing:
        assert writing.write(b"d", pack({"id": 5, "code": "x", "n": 3}, {"id": 6, "code": None})).rejected == []
    assert place.run("select id, code, n from orders order by 1") == [(5, "x", 3), (6, None, None)]


def test_rows_without_a_key_are_never_the_same(place: PostgresPlace) -> None:
    place.run("create table orders (code text unique, n integer)")
    with sink(place, on_conflict=OnConflict.UPDATE, key=("code",)) as writing:
        writing.write(b"a", pack({"code": None, "n": 1}, {"code": None, "n": 2}, {"code": "x", "n": 3}))
    assert place.run("select code, n from orders order by n") == [(None, 1), (None, 2), ("x", 3)]


def test_a_key_that_is_none_is_refused_at_once(place: PostgresPlace) -> None:
    place.run("create table orders (id integer, n integer)")
    for how, key in [(OnConflict.UPDATE, ()), (OnConflict.UPDATE, ("id",)), (OnConflict.IGNORE, ("no",))]:
        with sink(place, on_conflict=how, key=key) as writing, pytest.raises(SinkError, match=r"key"):
            writing.write(b"a", pack({"id": 1}))
    with sink(place, on_conflict=OnConflict.IGNORE) as writing:
        assert writing.write(b"a", pack({"id": 1}, {"id": 1})) == Written(2, [])


def test_a_connection_that_is_cut_is_made_again(place: PostgresPlace) -> None:
    place.run("create table orders (id integer primary key)")
    kill = "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and datname = current_database()"
    with sink(place) as writing:
        writing.write(b"a", pack({"id": 1}))
        place.run(kill)
        with pytest.raises(StoreUnavailable):
            writing.write(b"b", pack({"id": 2}))
        assert writing.write(b"b", pack({"id": 2})) == Written(1, [])

        def cut(tx: object, written: Written) -> bool:
            place.run(kill)
            return True

        with pytest.raises(StoreUnavailable):
            writing.write_with(pack({"id": 3}), cut)
        assert writing.write(b"a", pack({"id": 1})).repeated
    assert place.run("select id from orders order by 1") == [(1,), (2,)]


@pytest.mark.parametrize("rows", [1, 8])
@pytest.mark.parametrize("how", ["write", "write_jobs", "write_with"])
def test_a_connection_that_goes_while_a_row_is_refused_blames_no_table(
    postgres_server: PostgresServer, place: PostgresPlace, how: str, rows: int
) -> None:
    """Wherever in the answers the connection is cut: the last that is heard of may be that a row was refused."""
    place.run("create table orders (id integer primary key check (id <> 0))")
    records = pack(*({"id": id} for id in range(rows)))
    ids = [b"%016d" % id for id in range(rows)]
    writes: dict[str, Callable[[PostgresSink], Written | None]] = {
        "write": lambda sink: sink.write(b"a", records),
        "write_jobs": lambda sink: sink.write_jobs(ids, records),
        "write_with": lambda sink: sink.write_with(records, lambda tx, written: True),
    }
    port = postgres_server.process.port
    proxy = Proxy((LOOPBACK, port))
    url = place.url.replace(f":{port}/", f":{proxy.port}/")
    # What follows a refusal, before the server is ready for more, is six bytes: none of them is stepped over.
    for after in range(0, 4000, 5):
        place.run("truncate orders; drop table if exists penstock_ledger, penstock_ledger_jobs")
        with PostgresSink(url, Target("orders")) as writing:
            writing.exists()
            proxy.cut_in_answer(after)
            try:
                written = writes[how](writing)
            except StoreUnavailable:
                continue
            else:
                break
    assert after > 100
    assert written is not None
    assert [each.index for each in written.rejected] == [0]
    proxy.close()


def test_rows_and_ledger_go_in_together_or_not_at_all(place: PostgresPlace) -> None:
    place.run("create table orders (id integer)")
    with place.sink() as sink:
        place.run("alter table penstock_ledger add constraint nothing check (rows < 0)")
        with pytest.raises(SinkError, match="nothing"):
            sink.write(b"a", pack({"id": 1}))
        assert place.run("select * from orders") == []
        place.run("alter table penstock_ledger drop constraint nothing")
        assert sink.write(b"a", pack({"id": 1})) == Written(1, [])
    assert place.run("select * from orders") == [(1,)]


def test_the_ledger_is_readable(place: PostgresPlace) -> None:
    place.run("create table orders (id integer)")
    with sink(place) as writing:
        writing.write(b"a", pack({"id": "x"}), now=12.5)
    ((rows, rejected, at),) = place.run("select rows, rejected, extract(epoch from at)::float from penstock_ledger")
    assert (rows, at) == (0, 12.5)
    assert "invalid input" in json.dumps(msgspec.msgpack.decode(rejected))


def test_sharing_takes_the_same_database_and_user(place: PostgresPlace) -> None:
    with sink(place) as writing:
        assert writing.shares(f"{place.url}?schema=jobs")
        assert not writing.shares(place.url + "x")
        assert not writing.shares(place.url.replace("postgres@", "clerk@"))


@pytest.mark.parametrize(
    ("url", "table"), [("postgresql://h/x?colour=red", "t"), ("postgresql://h/x", "penstock_ledger")]
)
def test_a_setting_that_can_not_be_used_is_an_error(url: str, table: str) -> None:
    with pytest.raises(ConfigError):
        PostgresSink(url, Target(table))


def test_columns_of_every_numeric_type_are_added_to_and_no_others(place: PostgresPlace) -> None:
    place.run("create domain small as smallint check (value < 100)")
    place.run(
        "create table orders (k text primary key, i integer, b bigint, s small, r real, d double precision, "
        "n numeric(10,2), j jsonb, t text, a integer[], yes boolean, at date, made bigint generated always as identity)"
    )
    first = {"k": "x", "i": 1, "b": 2**40, "s": 3, "r": 0.5, "d": 0.25, "n": 1.25, "j": 1, "t": "1", "a": [1]}
    with sink(place, on_conflict=ADD) as writing:
        writing.write(b"a", pack(first | {"yes": True, "at": "2026-01-01"}, {"k": "y", "i": None, "d": 1}))
        again = first | {"yes": False, "at": "2026-01-02", "j": [2], "t": "2", "a": [2, 3]}
        # Those without `d`, and so of another shape, are written apart.
        batch = [again, {"k": "y", "i": 5}, {"k": "y", "d": None}, {"k": "x", "i": 1}, {"k": "y", "i": 6}]
        assert writing.write(b"b", pack(*batch)) == Written(5, [])
    assert place.run("select i, b, s, r, d, n, j::text, t, a, yes, at::text from orders where k = 'x'") == [
        (3, 2**41, 6, 1.0, 0.5, Decimal("2.50"), "[2]", "2", [2, 3], False, "2026-01-02")
    ]
    assert place.run("select i, d from orders where k = 'y'") == [(11, 1.0)]


def test_a_sum_that_does_not_fit_refuses_the_record_that_makes_it_so(place: PostgresPlace) -> None:
    place.run("create table orders (k integer primary key, s smallint check (s <> 7), n integer)")
    with sink(place, on_conflict=ADD) as writing:
        batch = [{"k": 1, "s": 32767}, {"k": 1, "s": 1}, {"k": 2, "s": 3}, {"k": 2, "s": 4}, {"k": 3, "n": 2**31 - 1}]
        written = writing.write(b"a", pack(*batch, {"k": 3, "n": 1}))
    assert [each.index for each in written.rejected] == [1, 3, 5]
    assert [each.reason.partition(" constraint")[0] for each in written.rejected] == [
        "smallint out of range", 'new row for relation "orders" violates check', "integer out of range",
    ]  # fmt: skip
    assert place.run("select k, s, n from orders order by k") == [(1, 32767, None), (2, 3, None), (3, None, 2**31 - 1)]


def test_what_is_added_by_needs_a_key(place: PostgresPlace) -> None:
    place.run("create table orders (n integer, code text unique, id integer default 7 primary key)")
    with sink(place, on_conflict=ADD, key=("n",)) as writing, pytest.raises(SinkError, match="no key"):
        writing.write(b"a", pack({"n": 1}))
    with sink(place, on_conflict=ADD) as writing:
        # The default makes the key of both.
        assert [writing.write(id, pack({"n": 1, "code": "x"})).rejected for id in (b"a", b"b")] == [[], []]
    with sink(place, on_conflict=ADD, key=("code",)) as writing:
        assert writing.write(b"c", pack({"n": 3, "code": "x"}, {"n": 4, "code": "x"})).rejected == []
    assert place.run("select n, code, id from orders") == [(9, "x", 7)]
    place.run("drop table orders; create table orders (n integer)")
    with sink(place, on_conflict=ADD) as writing, pytest.raises(SinkError, match="no primary key to add by"):
        writing.write(b"a", pack({"n": 1}))
