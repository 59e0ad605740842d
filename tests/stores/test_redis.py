"""Redis URLs, and what a client that can't connect says."""

from collections.abc import Iterator

import pytest
from redis import exceptions

from penstock.errors import ConfigError, PenstockError, StoreError, StoreFull, StoreReadOnly, StoreUnavailable
from penstock.stores.redis import connect, parse, translated, translating
from penstock.testing.servers import RedisServer
from penstock.testing.servers.process import free_port


def test_a_url_is_read() -> None:
    url = parse("rediss://me:p%40ss@one:7000,[::1],three/2?namespace=a.b&timeout=2.5&ca=/etc/ca.pem")
    assert url.hosts == (("one", 7000), ("::1", 6379), ("three", 6379))
    assert (url.database, url.namespace, url.timeout, url.service) == (2, "a.b", 2.5, None)
    assert url.options == {"ssl": True, "ssl_ca_certs": "/etc/ca.pem", "username": "me", "password": "p@ss"}
    assert url.encrypted
    assert repr(url) == "RedisUrl('rediss://me:***@one:7000,[::1],three/2')"


@pytest.mark.parametrize(
    ("given", "hosts", "database"),
    [
        ("redis://", (("localhost", 6379),), 0),
        ("redis://host", (("host", 6379),), 0),
        ("redis://host/", (("host", 6379),), 0),
        ("valkey://:secret@host:1/15", (("host", 1),), 15),
        ("redis://%2Frun%2Fredis.sock/1", (("/run/redis.sock", 6379),), 1),
    ],
)
def test_what_is_left_out_is_plain(given: str, hosts: object, database: int) -> None:
    url = parse(given)
    assert (url.hosts, url.database, url.namespace, url.encrypted) == (hosts, database, "penstock", False)


def test_sentinels_are_asked_for_a_master() -> None:
    url = parse("redis+sentinel://:pw@one,two:1/main/3")
    assert (url.hosts, url.service, url.database) == ((("one", 26379), ("two", 1)), "main", 3)
    assert url.options["password"] == "pw"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "redis:",
        "rediz://host",
        "redis://host:port/0",
        "redis://host:99999/0",
        "redis://host/shop",
        "redis://me:s3cret@host/1/2",
        "redis://me:s3c?ret@host/0",
        "redis://me:s3cret@host/0\0",
        "redis+sentinel://me:s3cret@host",
        "redis+sentinel://me:s3cret@host//0",
        "redis://[::1/0",
    ],
)
def test_garbage_is_told_what_to_write(url: str) -> None:
    with pytest.raises(ConfigError, match="redis://") as caught:
        parse(url)
    assert "s3c" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("nonsense=1", "not nonsense"),
        ("namespace=a%20b", "namespace must be"),
        ("namespace=", "namespace must be"),
        ("namespace={a}", "namespace must be"),
        ("timeout=soon", "number of seconds"),
        ("timeout=0", "number of seconds"),
        ("tls=maybe", "verified"),
    ],
)
def test_an_option_that_can_not_be_used_is_named(options: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse(f"redis://host/0?{options}")


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (exceptions.ResponseError("MISCONF Redis is configured to save RDB snapshots"), StoreFull, "make room"),
        (exceptions.OutOfMemoryError("command not allowed"), StoreFull, "maxmemory"),
        (exceptions.ReadOnlyError("You can't write"), StoreReadOnly, "replica"),
        (exceptions.BusyLoadingError("Redis is loading the dataset in memory"), StoreUnavailable, "loads"),
        (exceptions.ResponseError("NOREPLICAS Not enough good replicas to write."), StoreUnavailable, "replicas"),
        (exceptions.ResponseError("MASTERDOWN Link with MASTER is down"), StoreUnavailable, "fail-over"),
        (exceptions.ClusterDownError("The cluster is down"), StoreUnavailable, "cluster"),
        (exceptions.TimeoutError("Timeout reading from socket"), StoreUnavailable, "in time"),
        (exceptions.ConnectionError("Connection closed by server."), StoreUnavailable, "lost"),
        (exceptions.ResponseError("ERR max number of clients reached"), StoreUnavailable, "maxclients"),
        (exceptions.ResponseError("something\nelse"), StoreError, "something"),
        (ConnectionResetError(104, "Connection reset by peer"), StoreUnavailable, "lost"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_what_a_server_says_is_told_in_one_line(error: exceptions.RedisError, kind: type, said: str) -> None:
    found = translated(error, "redis://host")
    assert type(found) is kind
    assert said in str(found)
    assert "\n" not in str(found)


def test_only_what_the_client_raises_is_turned() -> None:
    with pytest.raises(ZeroDivisionError), translating("redis://host"):
        raise ZeroDivisionError


@pytest.fixture(scope="module")
def guarded() -> Iterator[RedisServer]:
    """A server with a password."""
    with RedisServer(options=["--requirepass", "right"]) as server:
        yield server


@pytest.mark.parametrize(
    ("who", "said"),
    [("", "asks for a password"), (":wrong@", "does not accept"), ("nobody:right@", "does not accept")],
)
def test_who_is_not_let_in_is_told_so(guarded: RedisServer, who: str, said: str) -> None:
    with pytest.raises(StoreError, match=said) as caught:
        connect(parse(f"redis://{who}127.0.0.1:{guarded.port}/0"))
    assert "wrong" not in str(caught.value)


def test_the_right_password_opens(guarded: RedisServer) -> None:
    connect(parse(f"redis://:right@127.0.0.1:{guarded.port}/0")).close()


def test_a_password_where_none_is_asked_for(redis_server: RedisServer) -> None:
    with pytest.raises(StoreError, match="no password set"):
        connect(parse(f"redis://:needless@127.0.0.1:{redis_server.port}/0"))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://127.0.0.1:{free}/0", "no server answers"),
        ("redis://nowhere.invalid/0", "no such host"),
        ("rediss://127.0.0.1:{port}/0?timeout=5", "TLS failed|in time|lost"),
        ("redis://127.0.0.1:{port}/999", "no database of that number"),
        ("redis+sentinel://127.0.0.1:{free}/main", "no sentinel knows"),
    ],
)
def test_a_server_that_is_not_there(redis_server: RedisServer, url: str, said: str) -> None:
    with pytest.raises(PenstockError, match=said) as caught:
        connect(parse(url.format(free=free_port(), port=redis_server.port)))
    assert "\n" not in str(caught.value)


def test_the_next_host_is_tried(redis_server: RedisServer) -> None:
    connect(parse(f"redis://127.0.0.1:{free_port()},127.0.0.1:{redis_server.port}/0")).close()
