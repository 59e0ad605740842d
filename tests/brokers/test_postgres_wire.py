"""Statements straight to libpq, on a real server."""

import signal
import threading
from collections.abc import Iterator
from types import FrameType

import psycopg
import pytest

from penstock.brokers.postgres.wire import Wire
from penstock.stores import postgres
from penstock.stores.pending import Binary
from penstock.testing.servers import PostgresServer


@pytest.fixture
def wire(postgres_server: PostgresServer) -> Iterator[Wire]:
    wire = Wire(postgres.connect(postgres.parse(postgres_server.url(), ())))
    yield wire
    wire.connection.close()


def test_a_parameter_may_come_twice_and_a_percent_sign_by_itself(wire: Wire) -> None:
    text = "select %(b)s::int - %(a)s::int, %(b)s::int, 7 %% 4, %(nothing)s::text"
    assert wire.run(text, {"a": 1, "b": 5, "nothing": None}) == [(4, 5, 3, None)]


def test_values_of_all_kinds_come_back(wire: Wire) -> None:
    values = {"t": "ü", "b": b"\0\xff", "f": 1.5, "i": 1 << 40, "y": True, "u": Binary(bytes(range(16)), 2950)}
    row = wire.run("select %(t)s::text, %(b)s, %(f)s, %(i)s, %(y)s, %(u)s", values)
    assert row == [("ü", b"\0\xff", 1.5, 1 << 40, True, bytes(range(16)))]


def test_what_returns_no_rows_says_how_many_changed(wire: Wire) -> None:
    assert wire.run("create temporary table t (n integer)", {}) == [(0,)]
    assert wire.run("insert into t select generate_series(1, 3)", {}) == [(3,)]
    assert wire.run("select n from t where n > 3", {}) == []


def test_more_than_the_socket_takes_at_once_gets_there_and_back(wire: Wire) -> None:
    data = bytes(32 << 20)
    assert wire.run("select %(data)s", {"data": data}) == [(data,)]


def test_an_error_is_psycopgs_and_the_connection_goes_on(wire: Wire) -> None:
    with pytest.raises(psycopg.errors.UndefinedTable) as caught:
        wire.run("select * from nowhere", {})
    assert caught.value.diag.message_primary == 'relation "nowhere" does not exist'
    assert wire.run("select 1", {}) == [(1,)]


def test_a_server_that_goes_is_a_lost_connection(wire: Wire, postgres_server: PostgresServer) -> None:
    wire.send("select pg_sleep(60)", {})
    with psycopg.connect(postgres_server.url(), autocommit=True) as other:
        other.execute("select pg_terminate_backend(%s)", (wire.connection.info.backend_pid,))
    with pytest.raises(psycopg.OperationalError):
        wire.answer()
    with pytest.raises(psycopg.OperationalError):
        wire.run("select 1", {})
    assert wire.connection.closed


def test_a_server_that_stops_answering_is_given_up(wire: Wire) -> None:
    wire.connection.patience = 0.3
    with pytest.raises(postgres.NoAnswer, match="no answer"):
        wire.run("select pg_sleep(60)", {})
    assert wire.connection.closed


def test_a_signal_in_the_middle_closes_the_connection_and_stops_the_statement(
    wire: Wire, postgres_server: PostgresServer
) -> None:
    class Interrupted(BaseException):
        pass

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise Interrupted

    old = signal.signal(signal.SIGUSR2, interrupt)
    try:
        threading.Timer(0.1, signal.pthread_kill, (threading.get_ident(), signal.SIGUSR2)).start()
        with pytest.raises(Interrupted):
            wire.run("select pg_sleep(60)", {})
    finally:
        signal.signal(signal.SIGUSR2, old)
    assert wire.connection.closed
    with psycopg.connect(postgres_server.url(), autocommit=True) as other:
        running = "select count(*) from pg_stat_activity where state = 'active' and query = 'select pg_sleep(60)'"
        gone = threading.Event()
        while other.execute(running).fetchone() != (0,):
            gone.wait(0.01)


def test_notifications_are_heard_whether_they_come_alone_or_with_an_answer(
    wire: Wire, postgres_server: PostgresServer
) -> None:
    wire.run("listen news", {})
    assert wire.heard() == []
    with psycopg.connect(postgres_server.url(), autocommit=True) as other:
        other.execute("notify news, 'one'")
        other.execute("notify news, 'two'")
    assert wire.run("select 1", {}) == [(1,)]
    assert wire.heard() == ["one", "two"]


SUM = "select %(a)s + %(b)s"


def prepared(wire: Wire) -> int:
    """How many statements the session has ready."""
    ((count,),) = wire.run("select count(*) from pg_prepared_statements", {})
    return int(count)


def test_what_comes_often_is_prepared_for_each_kind_of_values(wire: Wire) -> None:
    for number in range(10):
        assert wire.run(SUM, {"a": number, "b": 1}, often=True) == [(number + 1,)]
        assert prepared(wire) == (number >= 4)
        assert wire.run(SUM, {"a": number, "b": 1}) == [(number + 1,)]
    for _ in range(6):
        assert wire.run(SUM, {"a": 1 << 40, "b": 1}, often=True) == [((1 << 40) + 1,)]
        assert wire.run("select 1", {}, often=True) == [(1,)]
    assert prepared(wire) == 3


def test_a_session_is_not_filled_with_what_is_prepared(wire: Wire) -> None:
    for number in range(60):
        for _ in range(6):
            assert wire.run(f"select %(a)s + {number}", {"a": 1}, often=True) == [(number + 1,)]
    assert prepared(wire) == 50


def test_what_the_session_has_forgotten_is_sent_as_a_whole(wire: Wire) -> None:
    for _ in range(6):
        wire.run(SUM, {"a": 1, "b": 1}, often=True)
    # As where a pooler hands out a session that another has had.
    wire.run("deallocate all", {})
    for _ in range(10):
        assert wire.run(SUM, {"a": 1, "b": 2}, often=True) == [(3,)]
    assert prepared(wire) == 0


def test_what_another_has_prepared_in_the_session_is_used(wire: Wire) -> None:
    other = Wire(wire.connection)
    for each in (wire, other):
        for number in range(6):
            assert each.run(SUM, {"a": number, "b": 2}, often=True) == [(number + 2,)]
    assert prepared(wire) == 1


def test_what_has_changed_since_it_was_prepared_is_as_it_is_now(wire: Wire) -> None:
    wire.run("create temporary table kept (n integer)", {})
    wire.run("insert into kept values (7)", {})
    for _ in range(6):
        assert wire.run("select * from kept", {}, often=True) == [(7,)]
    wire.run("alter table kept alter n type text", {})
    for _ in range(2):
        assert wire.run("select * from kept", {}, often=True) == [("7",)]


def test_an_error_of_what_is_prepared_leaves_it_prepared(wire: Wire) -> None:
    for _ in range(6):
        wire.run("select 12 / %(n)s", {"n": 4}, often=True)
    with pytest.raises(psycopg.errors.DivisionByZero):
        wire.run("select 12 / %(n)s", {"n": 0}, often=True)
    assert wire.run("select 12 / %(n)s", {"n": 3}, often=True) == [(4,)]
    assert prepared(wire) == 1
