"""PostgreSQL URLs, connections, and what is said when one can't be had."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from penstock.errors import (
    ConfigError,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
)
from penstock.stores import postgres
from penstock.testing.servers import PostgresServer

SECRET = "s3cr3t"


@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
def test_own_options_are_taken_out_and_those_of_libpq_stay(scheme: str) -> None:
    url = postgres.parse(f"{scheme}://me:{SECRET}@db:5433/shop?schema=jobs&sslmode=require", ("schema",))
    assert url.options == {"schema": "jobs"}
    assert url.shown == f"{scheme}://me:***@db:5433/shop"
    given = psycopg.conninfo.conninfo_to_dict(url.conninfo)
    wanted = {"user": "me", "password": SECRET, "host": "db", "port": "5433", "dbname": "shop", "sslmode": "require"}
    assert wanted.items() <= given.items()
    assert {"connect_timeout", "keepalives_idle", "tcp_user_timeout", "fallback_application_name"} <= given.keys()
    assert SECRET not in repr(url)


def test_what_a_url_says_counts_before_our_defaults() -> None:
    url = postgres.parse("postgresql://db/shop?connect_timeout=3&application_name=mine", ())
    given = psycopg.conninfo.conninfo_to_dict(url.conninfo)
    assert (given["connect_timeout"], given["application_name"]) == ("3", "mine")


def test_a_password_may_hold_a_question_mark() -> None:
    url = postgres.parse(f"postgresql://me:{SECRET}?x@db/shop?schema=s", ("schema",))
    assert psycopg.conninfo.conninfo_to_dict(url.conninfo)["password"] == f"{SECRET}?x"
    assert url.options == {"schema": "s"}


@pytest.mark.parametrize(
    "url",
    [
        f"mysql://me:{SECRET}@db/shop",
        f"postgresql:me:{SECRET}@db",
        f"postgresql://me:{SECRET}%zz@db/shop",
        f"postgresql://me:{SECRET}?c/r@db:5432/shop",
        f"postgresql://me:{SECRET}@db:port/shop",
        f"postgresql://me:{SECRET}@db:99999/shop",
        f"postgresql://me:{SECRET}@db/shop?schemma=x",
        f"postgresql://me:{SECRET}@db/shop\0",
        f"postgresql://me:{SECRET}@[::1/shop",
    ],
)
def test_a_url_that_can_not_be_read_is_told_without_its_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        postgres.parse(url, ("schema",))
    assert SECRET not in str(caught.value).replace(f"postgresql:me:{SECRET}", "")
    assert "\n" not in str(caught.value)


@pytest.fixture
def alice(postgres_server: PostgresServer) -> Iterator[str]:
    """A user who needs a password, and may connect and no more; the URL up to the password."""
    rules = postgres_server.data / "pg_hba.conf"
    before = rules.read_text("utf-8")
    rules.write_text(f"host all alice 127.0.0.1/32 scram-sha-256\nhost all carol all reject\n{before}", "utf-8")
    with psycopg.connect(postgres_server.url(), autocommit=True) as connection:
        connection.execute("select pg_reload_conf()")
        connection.execute(f"create role alice login password '{SECRET}'")
    yield f"127.0.0.1:{postgres_server.process.port}/penstock"
    rules.write_text(before, "utf-8")
    with psycopg.connect(postgres_server.url(), autocommit=True) as connection:
        connection.execute("drop role alice")
        connection.execute("select pg_reload_conf()")


def refusal(url: str) -> StoreError | ConfigError:
    with pytest.raises((StoreError, ConfigError)) as caught:
        postgres.connect(postgres.parse(url, ()))
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_wrong_password(alice: str) -> None:
    postgres.connect(postgres.parse(f"postgresql://alice:{SECRET}@{alice}", ())).close()
    error = refusal(f"postgresql://alice:{SECRET}x@{alice}")
    assert "password" in str(error)
    assert SECRET not in str(error)
    assert "password" in str(refusal(f"postgresql://alice@{alice}"))
    assert not isinstance(error, StoreUnavailable)


def test_what_is_missing_is_named(postgres_server: PostgresServer, alice: str) -> None:
    assert "createdb" in str(refusal(postgres_server.url("nowhere")))
    assert "createuser" in str(refusal(postgres_server.url(user="nobody")))
    assert "pg_hba.conf" in str(refusal(postgres_server.url(user="carol")))
    assert "TLS" in str(refusal(f"{postgres_server.url()}?sslmode=require"))
    assert "value" in str(refusal(f"{postgres_server.url()}?sslmode=perhaps"))
    assert "connect_timeout" in str(refusal(f"{postgres_server.url()}?connect_timeout=soon"))


def test_nobody_there() -> None:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        error = refusal(f"postgresql://me:{SECRET}@127.0.0.1:{free.getsockname()[1]}/shop")
    assert isinstance(error, StoreUnavailable)
    assert SECRET not in str(error)


def test_a_server_that_stops_answering_is_given_up(postgres_server: PostgresServer) -> None:
    connection = postgres.connect(postgres.parse(postgres_server.url(), ()), patience=0.3)
    with pytest.raises(StoreUnavailable, match="no answer"), postgres.translating("there"):
        connection.execute("select pg_sleep(60)")
    assert connection.closed


def test_a_server_that_says_something_now_and_then_is_waited_for(postgres_server: PostgresServer) -> None:
    connection = postgres.connect(postgres.parse(postgres_server.url(), ()), patience=1.5)
    ticks = "select pg_sleep(0.6), repeat('x', 20000) from generate_series(1, 4)"
    with closing(connection):
        assert len(connection.execute(ticks).fetchall()) == 4


def test_a_proxy_that_accepts_and_is_silent_is_given_up() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as proxy:
        url = f"postgresql://me@127.0.0.1:{proxy.getsockname()[1]}/shop?connect_timeout=2"
        assert isinstance(refusal(url), StoreUnavailable)


def test_a_proxy_that_accepts_and_hangs_up_is_told_in_short() -> None:
    def hang_up() -> None:
        client, _ = proxy.accept()
        client.close()

    with closing(socket.create_server(("127.0.0.1", 0))) as proxy:
        thread = threading.Thread(target=hang_up)
        thread.start()
        error = refusal(f"postgresql://me@127.0.0.1:{proxy.getsockname()[1]}/shop?sslmode=disable")
        thread.join()
    assert isinstance(error, StoreUnavailable)
    assert "hangs up" in str(error)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("08006", StoreUnavailable),
        ("57P01", StoreUnavailable),
        ("57P03", StoreUnavailable),
        ("57014", StoreUnavailable),
        ("40001", StoreUnavailable),
        ("40P01", StoreUnavailable),
        ("55P03", StoreUnavailable),
        ("53200", StoreUnavailable),
        ("53300", StoreUnavailable),
        ("53100", StoreFull),
        ("25006", StoreReadOnly),
        ("XX001", StoreCorrupt),
        ("42501", StoreError),
        ("42P01", StoreError),
        ("23505", StoreError),
    ],
)
def test_an_error_of_the_server_becomes_one_of_ours(
    postgres_server: PostgresServer, code: str, kind: type[StoreError]
) -> None:
    with (
        closing(postgres.connect(postgres.parse(postgres_server.url(), ()))) as connection,
        pytest.raises(StoreError) as caught,
        postgres.translating("postgresql://here"),
    ):
        connection.execute(f"do $$ begin raise exception E'what\\nhappened' using errcode = '{code}'; end $$")
    assert type(caught.value) is kind
    assert str(caught.value).startswith("postgresql://here")
    assert "\n" not in str(caught.value)


def test_a_connection_that_the_server_ends_is_unavailable(postgres_server: PostgresServer) -> None:
    connection = postgres.connect(postgres.parse(postgres_server.url(), ()))
    with psycopg.connect(postgres_server.url(), autocommit=True) as other:
        other.execute("select pg_terminate_backend(%s, 5000)", (connection.info.backend_pid,))
    with pytest.raises(StoreUnavailable), postgres.translating("there"):
        connection.execute("select 1")
    with pytest.raises(StoreUnavailable), postgres.translating("there"):
        connection.execute("select 1")


def test_waiting_does_not_hold_up_other_threads(postgres_server: PostgresServer) -> None:
    connection = postgres.connect(postgres.parse(postgres_server.url(), ()))
    done = threading.Event()

    def ask() -> None:
        connection.execute("select pg_sleep(0.2)")
        done.set()

    thread = threading.Thread(target=ask)
    thread.start()
    assert done.wait(20)
    thread.join()
    connection.close()
