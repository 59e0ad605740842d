"""Single rows into PostgreSQL, with what is to be done with them, by one statement; and by a transaction where that does not do."""

from collections.abc import Iterator
from typing import Any

import msgspec
import psycopg
import pytest
from places import PostgresPlace

from penstock.brokers import connect
from penstock.brokers.base import Broker
from penstock.brokers.postgres.broker import PostgresBroker
from penstock.core.decide import Policy, succeeded
from penstock.core.job import Holder, Lease
from penstock.core.outcome import Outcome, Step
from penstock.sinks.base import OnConflict, Target, Written
from penstock.sinks.postgres.sink import PostgresSink
from penstock.stores.pending import Pending
from penstock.testing.contract.harness import ALICE, BOB, QUEUE, claim_one, job, new_id
from penstock.testing.servers import PostgresServer

TYPES: dict[str, tuple[str, Any]] = {
    "small": ("smallint", 7),
    "whole": ("integer", 7),
    "big": ("bigint", -(2**63)),
    "single": ("real", 1.5),
    "double": ("double precision", 0.1),
    "exact": ("numeric(10,2)", 12.345),
    "yes": ("boolean", True),
    "name": ("text", "ü\t\\\n€"),
    "code": ("varchar(5)", "abc"),
    "fixed": ("char(3)", "ab"),
    "nested": ("jsonb", {"a": [1, {"b": None}]}),
    "plain": ("json", [1, "x"]),
    "key": ("uuid", "12345678-1234-5678-1234-567812345678"),
    "raw": ("bytea", b"\x00\xff"),
    "day": ("date", "2026-01-05"),
    "clock": ("time", "10:11:12.5"),
    "local": ("timestamp", "2026-01-05T09:30:00"),
    "moment": ("timestamptz", "2026-01-05T09:30:00+02:00"),
    "side": ("side", "buy"),
    "positive": ("positive", 5),
    "odd %s {one}": ("text", "x"),
    "numbered": ("bigint generated always as identity", 9),
    "kept": ("text default 'here'", "there"),
}


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> PostgresPlace:
    return PostgresPlace(postgres_server)


@pytest.fixture
def place(database: PostgresPlace) -> PostgresPlace:
    """One database for all tests here; each begins without tables."""
    database.run("drop schema if exists penstock cascade; drop schema public cascade; create schema public")
    return database


@pytest.fixture
def broker(place: PostgresPlace) -> Iterator[Broker]:
    made = connect(place.url)
    made.open()
    yield made
    made.close()


def sink(place: PostgresPlace, table: str = "orders", **options: Any) -> PostgresSink:
    made = PostgresSink(place.url, Target(table, **options))
    made.open()
    return made


class Told:
    """An end that notes what it gets."""

    def __init__(self) -> None:
        self.by: list[type] = []
        self.written: list[Written] = []

    def __call__(self, tx: object, written: Written) -> bool:
        self.by.append(type(tx))
        self.written.append(written)
        return True

    @property
    def at_once(self) -> bool:
        return self.by == [Pending]


def pack(*records: object) -> bytes:
    return msgspec.msgpack.encode(records)


@pytest.mark.parametrize("left_out", [(), ("kept", "numbered", "name")], ids=["all", "defaults"])
def test_a_row_is_the_same_by_one_statement_as_by_copy(place: PostgresPlace, left_out: tuple[str, ...]) -> None:
    place.run("create type side as enum ('buy', 'sell'); create domain positive as integer check (value > 0)")
    names = {name: f'"{name}"' for name in TYPES}
    columns = ", ".join(f"{names[name]} {type}" for name, (type, _) in TYPES.items())
    place.run(f'create table "per%s" ({columns})')
    record = {name: value for name, (_, value) in TYPES.items() if name not in left_out}
    told = Told()
    with sink(place, "per%s") as writing:
        writing.write(b"a", pack(record))
        assert writing.write_with(pack(record), told) == Written(1, [])
    assert told.at_once
    compared = ", ".join(names[name] + "::text" for name in TYPES if name != "numbered" or name in record)
    first, second = place.run(f'select {compared} from "per%s"')
    assert first == second


@pytest.mark.parametrize(
    ("record", "at_once", "reason"),
    [
        ({"id": 1}, True, 'duplicate key value violates unique constraint "orders_pkey": Key (id)=(1) already exists.'),
        ({"id": 2, "note": "a\0b"}, True, 'invalid byte sequence for encoding "UTF8": 0x00'),
        ({"id": "one"}, False, 'invalid input syntax for type integer: "one"'),
        ({"id": 2, "other": 1}, False, "the table has no column for the field 'other'"),
    ],
    ids=["duplicate", "zero", "text", "unknown"],
)
def test_a_row_that_is_refused_ends_by_a_transaction_with_the_reason(
    place: PostgresPlace, record: dict[str, Any], at_once: bool, reason: str
) -> None:
    place.run("create table orders (id integer primary key, note text); insert into orders values (1)")
    told = Told()
    with sink(place) as writing:
        written = writing.write_with(pack(record), told)
    assert written is not None
    (found,) = written.rejected
    assert (written.rows, found.index, found.reason.startswith(reason)) == (0, 0, True)
    assert (told.by[0] is Pending, issubclass(told.by[-1], psycopg.Connection)) == (at_once, True)
    assert place.run("select count(*) from orders") == [(1,)]


def test_a_table_that_changes_is_written_as_it_is_then(place: PostgresPlace) -> None:
    place.run("create table orders (id integer primary key, note text)")
    with sink(place) as writing:
        writing.write_with(pack({"id": 1}), Told())
        place.run("alter table orders alter note set default 'new', alter id type bigint")
        changed, after = Told(), Told()
        assert writing.write_with(pack({"id": 2}), changed) == Written(1, [])
        assert writing.write_with(pack({"id": 2**40}), after) == Written(1, [])
    assert (changed.at_once, after.at_once) == (False, True)
    assert place.run("select * from orders order by 1") == [(1, None), (2, "new"), (2**40, "new")]


@pytest.mark.parametrize("rule", ["instead nothing", "also insert into log values (new.id)"], ids=["instead", "also"])
def test_a_rule_is_passed_by_as_copy_does(place: PostgresPlace, rule: str) -> None:
    place.run("create table log (id integer); create table orders (id integer)")
    place.run(f"create rule kept as on insert to orders do {rule}")
    told = Told()
    with sink(place) as writing:
        assert writing.write_with(pack({"id": 1}), told) == Written(1, [])
    assert not told.at_once
    assert place.run("select (select count(*) from orders), (select count(*) from log)") == [(1, 0)]


def test_a_row_that_may_be_in_conflict_goes_by_staging(place: PostgresPlace) -> None:
    place.run("create table orders (id integer primary key); insert into orders values (1)")
    told = Told()
    with sink(place, on_conflict=OnConflict.IGNORE) as writing:
        assert writing.write_with(pack({"id": 1}), told) == Written(1, [])
    assert Pending not in told.by


def ending(broker: Broker, outcome: Outcome) -> Any:
    return lambda tx, written: not broker.exchange([outcome], (), 0, ALICE, tx=tx).stale


def test_a_job_ends_with_its_row(place: PostgresPlace, broker: Broker) -> None:
    place.run("create table orders (id integer)")
    batch = new_id()
    broker.enqueue([job(batch=batch, items=1)])
    lease = claim_one(broker)
    with sink(place) as writing:
        end = ending(broker, Outcome(lease, steps=(Step(batch, done=1),)))
        assert writing.write_with(pack({"id": 1}), end) == Written(1, [])
        # Once more, as after a lost answer: the job is not there any more, and the row is not written twice.
        assert writing.write_with(pack({"id": 1}), end) is None
    assert place.run("select id from orders") == [(1,)]
    assert broker.depth(QUEUE) == 0
    assert isinstance(broker, PostgresBroker)
    counted = broker.inspector().batch(batch)
    assert counted is not None
    assert counted.done == 1


def test_a_job_that_another_holds_writes_nothing(place: PostgresPlace, broker: Broker) -> None:
    place.run("create table orders (id integer)")
    broker.enqueue([job()])
    mine = claim_one(broker)
    broker.abandon(ALICE)
    theirs = _claimed_by(broker, BOB)
    with sink(place) as writing:
        assert writing.write_with(pack({"id": 1}), ending(broker, succeeded(mine, Policy()))) is None
        assert writing.write_with(pack({"id": 2}), ending(broker, succeeded(theirs, Policy()))) == Written(1, [])
    assert place.run("select id from orders") == [(2,)]


def test_an_outcome_that_takes_more_than_its_ending_takes_a_transaction(place: PostgresPlace, broker: Broker) -> None:
    place.run("create table orders (id integer)")
    broker.enqueue([job()])
    outcome = msgspec.structs.replace(succeeded(claim_one(broker), Policy()), follow_ups=(job(),))
    with sink(place) as writing:
        assert writing.write_with(pack({"id": 1}), ending(broker, outcome)) == Written(1, [])
    assert place.run("select id from orders") == [(1,)]
    assert claim_one(broker).id == outcome.follow_ups[0].id


def _claimed_by(broker: Broker, holder: Holder) -> Lease:
    (lease,) = broker.exchange([], [QUEUE], 1, holder).leases
    return lease
