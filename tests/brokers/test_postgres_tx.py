"""Jobs in a transaction of the user's own, by psycopg, SQLAlchemy and plain SQL; and endings in a sink's."""

import itertools
import json
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
import sqlalchemy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.rows import dict_row
from sqlalchemy.orm import Session

from penstock.brokers import connect
from penstock.brokers.inspect import Selection
from penstock.brokers.postgres.broker import PostgresBroker
from penstock.core.codec import Signature, decode_value
from penstock.core.outcome import Outcome, Step
from penstock.core.states import State
from penstock.core.topics import Event, Subscription, matches, opened
from penstock.errors import ConfigError, StoreError
from penstock.testing.contract.harness import ALICE, QUEUE, claim, claim_one, ids, job, jobs, new_id, record
from penstock.testing.servers import PostgresServer

_numbers = itertools.count()


@pytest.fixture
def store(postgres_server: PostgresServer) -> Iterator[PostgresBroker]:
    broker = connect(f"{postgres_server.url()}?schema=tx{next(_numbers)}")
    assert isinstance(broker, PostgresBroker)
    broker.open()
    yield broker
    broker.close()


@pytest.fixture
def engine(postgres_server: PostgresServer) -> Iterator[sqlalchemy.Engine]:
    made = sqlalchemy.create_engine(postgres_server.url().replace("postgresql:", "postgresql+psycopg:"))
    yield made
    made.dispose()


@pytest.fixture
def mine(postgres_server: PostgresServer) -> Iterator[psycopg.Connection]:
    with psycopg.connect(postgres_server.url()) as connection:
        yield connection


@pytest.fixture
def listener(postgres_server: PostgresServer, store: PostgresBroker) -> Iterator[psycopg.Connection]:
    with psycopg.connect(postgres_server.url(), autocommit=True) as connection:
        connection.execute(f'listen "{store._schema}"')
        yield connection


def heard(listener: psycopg.Connection) -> int:
    listener.execute("select 1")
    return len(list(listener.notifies(timeout=0.05)))


def test_jobs_are_there_when_the_transaction_commits(
    store: PostgresBroker, mine: psycopg.Connection, listener: psycopg.Connection
) -> None:
    sent = jobs(3, batch=new_id())
    assert store.enqueue(sent, tx=mine) == ids(sent)
    assert store.depth(QUEUE) == 0
    assert heard(listener) == 0
    mine.commit()
    assert heard(listener) == 1
    assert ids(claim(store)) == ids(sent)


def test_jobs_that_are_rolled_back_were_never_there(
    store: PostgresBroker, mine: psycopg.Connection, listener: psycopg.Connection
) -> None:
    store.enqueue(jobs(3), tx=mine)
    mine.rollback()
    assert (store.depth(QUEUE), heard(listener)) == (0, 0)


def test_events_are_there_when_the_transaction_commits(
    store: PostgresBroker, mine: psycopg.Connection, listener: psycopg.Connection
) -> None:
    store.subscribe([Subscription("g", "t", "orders.*", QUEUE, gate="t"), Subscription("h", "t", "#", QUEUE)])
    heard(listener)
    sent, other = (Event(new_id(), "orders.filled", b"") for _ in range(2))
    assert store.publish([sent], tx=mine) == [2]
    mine.rollback()
    assert store.publish([other], tx=mine) == [2]
    assert store.publish([Event(new_id(), "x", b"")], tx=mine) == [1]
    assert (store.depth(QUEUE), heard(listener)) == (0, 0)
    mine.commit()
    # Once for those that are ready, and once for those with a gate, of which more is to be done.
    assert (store.depth(QUEUE), heard(listener)) == (3, 2)


def test_a_savepoint_takes_its_jobs_along(store: PostgresBroker, mine: psycopg.Connection) -> None:
    kept, dropped = job(), job()
    store.enqueue([kept], tx=mine)
    with mine.transaction() as inner:
        store.enqueue([dropped], tx=mine)
        raise psycopg.Rollback(inner)
    mine.commit()
    assert ids(claim(store)) == [kept.id]


def test_a_connection_with_habits_of_its_own(store: PostgresBroker, postgres_server: PostgresServer) -> None:
    with psycopg.connect(
        postgres_server.url(), row_factory=dict_row, cursor_factory=psycopg.ClientCursor, prepare_threshold=0
    ) as habits:
        first = job(unique="k")
        assert store.enqueue([first], tx=habits) == [first.id]
        assert store.enqueue([job(unique="k")], tx=habits) == [first.id]
        assert habits.execute("select 1 as one").fetchone() == {"one": 1}
        assert habits.execute("select gen_random_uuid() as id").fetchone()["id"].version == 4


def test_sqlalchemy_connection(store: PostgresBroker, engine: sqlalchemy.Engine) -> None:
    kept, dropped = job(), job()
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("select 1"))
        store.enqueue([kept], tx=connection)
    with engine.connect() as connection:
        # The first thing done on it: the commit below must know of it.
        store.enqueue([also := job()], tx=connection)
        connection.commit()
    with engine.connect() as connection:
        store.enqueue([dropped], tx=connection)
        connection.rollback()
    assert ids(claim(store)) == [kept.id, also.id]


def test_sqlalchemy_session(store: PostgresBroker, engine: sqlalchemy.Engine) -> None:
    kept, dropped = job(), job()
    with Session(engine) as session:
        store.enqueue([kept], tx=session)
        session.commit()
        store.enqueue([dropped], tx=session)
        session.rollback()
    assert ids(claim(store)) == [kept.id]


def test_what_is_no_transaction_of_postgresql(store: PostgresBroker, postgres_server: PostgresServer) -> None:
    elsewhere = sqlalchemy.create_engine("sqlite://")
    with closing(sqlite3.connect(":memory:")) as other, elsewhere.connect() as by_sqlalchemy:
        for tx in (other, object(), "tx", by_sqlalchemy):
            with pytest.raises(ConfigError, match=r"psycopg\.Connection"):
                store.enqueue([job()], tx=tx)
    elsewhere.dispose()
    closed = psycopg.connect(postgres_server.url())
    closed.close()
    with pytest.raises(ConfigError, match="closed"):
        store.enqueue([job()], tx=closed)


def test_a_transaction_elsewhere_says_what_is_missing(store: PostgresBroker, postgres_server: PostgresServer) -> None:
    with psycopg.connect(postgres_server.url("postgres")) as elsewhere, pytest.raises(StoreError, match="install"):
        store.enqueue([job()], tx=elsewhere)


def test_endings_commit_with_the_rows_of_a_sink(store: PostgresBroker, mine: psycopg.Connection) -> None:
    batch = new_id()
    store.enqueue(jobs(3, batch=batch))
    leases = claim(store)
    outcomes = [Outcome(lease, steps=(Step(batch, done=1),)) for lease in leases]
    assert store.exchange(outcomes, (), 0, ALICE, tx=mine).stale == []
    mine.rollback()
    assert {one.state for one in store.inspector().list(Selection())} == {State.RUNNING}
    assert store.exchange(outcomes[:2], (), 0, ALICE, tx=mine).stale == []
    mine.commit()
    assert ids(store.inspector().list(Selection())) == [leases[2].id]
    assert store.exchange(outcomes, (), 0, ALICE).stale == outcomes[:2]
    counted = store.inspector().batch(batch)
    assert counted is not None
    assert counted.done == 3


# By SQL alone.


def call(connection: psycopg.Connection, store: PostgresBroker, arguments: str, *values: object) -> bytes:
    row = connection.execute(f"select {store._schema}.enqueue({arguments})", values).fetchone()
    assert row is not None
    assert isinstance(row[0], uuid.UUID)
    return row[0].bytes


def greet(name: str, times: int = 1) -> str:
    return name * times


def test_sql_enqueues_in_its_own_transaction(
    store: PostgresBroker, mine: psycopg.Connection, listener: psycopg.Connection
) -> None:
    call(mine, store, "'app.greet'")
    mine.rollback()
    id = call(mine, store, """'app.greet', '{"args": ["ab"], "kwargs": {"times": 2}}'""")
    assert heard(listener) == 0
    mine.commit()
    assert heard(listener) == 1
    lease = claim_one(store)
    assert (lease.id, lease.task, lease.queue, lease.priority) == (id, "app.greet", QUEUE, 5)
    signature = Signature("app.greet", greet)
    assert signature.call(signature.decode(lease.payload)) == "abab"
    assert uuid.UUID(bytes=id).version == 7


def test_sql_takes_the_options_by_name(store: PostgresBroker, mine: psycopg.Connection) -> None:
    plain = call(mine, store, "'t', queue => 'mail', priority => 9")
    later = call(mine, store, "'t', delay => 60")
    dated = call(mine, store, "'t', run_at => '2099-01-01 00:00:00+00', at_most_once => true")
    first = call(mine, store, "'t', unique_key => 'k'")
    assert call(mine, store, "'t', unique_key => 'k'") == first
    own = new_id()
    assert call(mine, store, "'t', id => %s::uuid", own.hex()) == own
    mine.commit()
    assert (record(store, plain).queue, record(store, plain).priority) == ("mail", 9)
    assert record(store, later).state is record(store, dated).state is State.DELAYED
    assert record(store, dated).run_at == 4070908800.0
    assert record(store, first).unique == "k"
    assert record(store, own).state is State.READY


@pytest.mark.parametrize(
    "arguments",
    [
        "null",
        "'t', '[1, 2]'",
        "'t', '3'",
        "'t', null",
        """'t', '{"arguments": []}'""",
        """'t', '{"args": {}}'""",
        """'t', '{"kwargs": []}'""",
        "'t', priority => 10",
        "'t', priority => null",
        "'t', queue => null",
    ],
)
def test_sql_that_makes_no_job_is_refused(store: PostgresBroker, mine: psycopg.Connection, arguments: str) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        call(mine, store, arguments)
    mine.rollback()
    assert list(store.inspector().count()) == []


def test_a_trigger_enqueues(store: PostgresBroker, mine: psycopg.Connection) -> None:
    mine.execute("create temporary table orders (id int)")
    mine.execute(
        f"""create function pg_temp.on_order() returns trigger language plpgsql as $$ begin
        perform {store._schema}.enqueue('app.greet', jsonb_build_object('args', jsonb_build_array(new.id)));
        return new; end $$"""
    )
    mine.execute("create trigger t after insert on orders for each row execute function pg_temp.on_order()")
    mine.execute("insert into orders select generate_series(1, 3)")
    mine.commit()
    payloads = [json.loads(lease.payload) for lease in claim(store)]
    assert payloads == [{"args": [1]}, {"args": [2]}, {"args": [3]}]


# Events by SQL alone.

words = st.sampled_from(["a", "b", "a+", "(", "ä", "x y", "1", "\\d"])
topics = st.lists(words, min_size=1, max_size=4).map(".".join)
patterns = st.lists(st.one_of(words, st.sampled_from(["*", "#"])), min_size=1, max_size=5).map(".".join)


@pytest.fixture(scope="module")
def expressions(postgres_server: PostgresServer) -> Iterator[psycopg.Connection]:
    """A connection that finds the function for patterns."""
    with closing(connect(f"{postgres_server.url()}?schema=expressions")) as broker:
        broker.open()
    with psycopg.connect(postgres_server.url(), autocommit=True) as connection:
        connection.execute("set search_path to expressions")
        yield connection


@given(pattern=patterns, topic=topics)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_sql_matches_as_python_does(expressions: psycopg.Connection, pattern: str, topic: str) -> None:
    found = expressions.execute("select '.' || %s ~ topic_expression(%s)", (topic, pattern)).fetchone()
    assert found == (matches(pattern, topic),)


def published(connection: psycopg.Connection, store: PostgresBroker, topic: str | None, event: object) -> int:
    row = connection.execute(f"select {store._schema}.publish(%s, %s)", (topic, json.dumps(event))).fetchone()
    assert row is not None
    return int(row[0])


def test_sql_publishes_in_its_own_transaction(
    store: PostgresBroker, mine: psycopg.Connection, listener: psycopg.Connection
) -> None:
    assert published(mine, store, "orders.filled", 1) == 0
    store.subscribe(
        [
            Subscription("g", "app.one", "orders.*", "a", priority=7),
            Subscription("g", "app.one", "#", "a", priority=7),
            Subscription("g", "app.two", "#", "b", gate="app.two", at_most_once=True),
            Subscription("h", "app.three", "refunds", "c"),
        ]
    )
    heard(listener)
    assert published(mine, store, "orders.filled", {"id": 1}) == 1
    mine.rollback()
    assert heard(listener) == 0
    assert published(mine, store, "orders.filled", {"id": 2}) == 1
    mine.commit()
    assert heard(listener) == 1
    assert published(mine, store, "refunds", None) == 2
    mine.rollback()
    first, second = sorted(claim(store, queues=["a", "b", "c"], now=None), key=lambda lease: lease.task)
    assert (first.task, first.queue, first.priority, first.gate) == ("app.one", "a", 7, None)
    assert (second.task, second.queue, second.gate, second.at_most_once) == ("app.two", "b", "app.two", True)
    for lease in (first, second):
        event = opened(lease.payload)
        assert event is not None
        assert (event.topic, decode_value(event.content)) == ("orders.filled", {"id": 2})


@pytest.mark.parametrize("topic", [None, "", "a..b", ".a", "a.", "orders.*", "#", "a\tb", "x" * 256])
def test_what_sql_can_not_publish_to(store: PostgresBroker, mine: psycopg.Connection, topic: str | None) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="a topic is words"):
        published(mine, store, topic, 1)
