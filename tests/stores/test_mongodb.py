"""MongoDB URLs, and what a client that can't connect says."""

import linecache
from collections.abc import Iterator
from typing import Any

import pymongo
import pytest
from bson.errors import InvalidBSON, InvalidDocument
from pymongo import errors
from pymongo.write_concern import WriteConcern

from penstock.errors import ConfigError, StoreCorrupt, StoreError, StoreFull, StoreUnavailable
from penstock.stores.mongodb import MongoUrl, connect, is_replica_set, parse, translated, translating
from penstock.testing.servers import MongoServer
from penstock.testing.servers.mongodb import _program
from penstock.testing.servers.process import ServerProcess, free_port

OWN = ("namespace",)


def read(url: str) -> MongoUrl:
    return parse(url, OWN)


def test_a_url_is_read() -> None:
    url = read("mongodb://me:p%40ss@one:27018,two/market?replicaSet=rs0&namespace=a%5Fb&tls=true")
    assert url.uri == "mongodb://me:p%40ss@one:27018,two/market?replicaSet=rs0&tls=true"
    assert (url.database, url.options) == ("market", {"namespace": "a_b"})
    assert url.shown == "mongodb://me:***@one:27018,two/market"
    assert "p%40ss" not in repr(url)


@pytest.mark.parametrize(
    ("given", "uri"),
    [
        ("mongodb://host", "mongodb://host/"),
        ("mongodb://host/", "mongodb://host/"),
        ("mongodb://host?namespace=x", "mongodb://host/"),
        ("mongodb://[::1]:27018/?namespace=x&w=1", "mongodb://[::1]:27018/?w=1"),
        ("mongodb+srv://me:pw@cluster.example.net/", "mongodb+srv://me:pw@cluster.example.net/"),
    ],
)
def test_what_is_left_out_is_plain(given: str, uri: str) -> None:
    assert (read(given).uri, read(given).database) == (uri, "penstock")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mongodb:",
        "mongodb://",
        "mongodb:///x",
        "mongo://host/db",
        "mongodb://host:port/db",
        "mongodb://host:99999/db",
        "mongodb://me:s3cret@host/a b",
        "mongodb://me:s3c@ret@host/db",
        "mongodb://me:s3cret?x@host/db",
        "mongodb://me:s3cret%@host/db",
        "mongodb://host/db.collection",
        "mongodb://host/a/b",
        "mongodb://host/\0",
        "mongodb://host/" + "x" * 64,
        "mongodb+srv://me:s3cret@one,two/db",
        "mongodb+srv://me:s3cret@one:27017/db",
    ],
)
def test_garbage_is_told_what_to_write(url: str) -> None:
    with pytest.raises(ConfigError, match=r"mongodb(\+srv)?://") as caught:
        read(url)
    assert "s3c" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("nonsense=1", "not nonsense"),
        ("w=0", "w=0"),
        ("socketTimeoutMS=soon", "socketTimeoutMS"),
        ("tlsCAFile=/no/such/file", "tlsCAFile"),
        ("namespace=x&tls", "tls"),
    ],
)
def test_an_option_that_can_not_be_used_is_named(options: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read(f"mongodb://me:s3cret@host/db?{options}")


def test_a_client_waits_for_a_majority_and_no_longer_than_it_should(mongo_server: MongoServer) -> None:
    with connect(read(mongo_server.url("x"))) as client:
        assert client.write_concern == WriteConcern("majority", wtimeout=30_000, j=True)
        assert client.options.pool_options.socket_timeout == 60
        assert client.options.server_selection_timeout == 10
        assert client.options.pool_options.appname == "penstock"
    with connect(
        read(mongo_server.url("x") + "&w=1&journal=false&socketTimeoutMS=5000&readPreference=secondary")
    ) as client:
        assert client.write_concern == WriteConcern(1, wtimeout=30_000, j=False)
        assert client.options.pool_options.socket_timeout == 5
        assert client.read_preference == pymongo.ReadPreference.PRIMARY


def test_a_client_keeps_no_lines_of_source_in_memory(mongo_server: MongoServer) -> None:
    linecache.clearcache()
    mine = linecache.getlines(__file__)
    with connect(read(mongo_server.url())):
        assert linecache.cache.keys() == {__file__}
    assert linecache.getlines(__file__) is mine


def test_a_replica_set_is_told_from_a_server_that_stands_alone(
    mongo_server: MongoServer, lone_mongo_server: MongoServer
) -> None:
    with connect(read(mongo_server.url())) as client:
        assert is_replica_set(client)
    with connect(read(lone_mongo_server.url())) as client:
        assert not is_replica_set(client)


@pytest.fixture(scope="module")
def guarded() -> Iterator[str]:
    """The host and port of a server that asks for passwords."""
    process = ServerProcess("mongodb")
    (process.folder / "data").mkdir()

    def answers() -> bool:
        try:
            with pymongo.MongoClient("127.0.0.1", process.port, serverSelectionTimeoutMS=500) as client:
                return bool(client.admin.command("hello"))
        except errors.PyMongoError:
            return False

    process.start(
        [_program(), "--auth", "--bind_ip", "127.0.0.1", "--port", str(process.port), "--dbpath", "data"], answers
    )
    with pymongo.MongoClient("127.0.0.1", process.port) as client:
        admin = {"role": "root", "db": "admin"}
        client.admin.command("createUser", "root", pwd="r00t", roles=[admin])
    with pymongo.MongoClient("127.0.0.1", process.port, username="root", password="r00t") as client:
        client.admin.command("createUser", "reader", pwd="s3cret", roles=[{"role": "read", "db": "market"}])
    yield f"127.0.0.1:{process.port}"
    process.remove()


FAST = "serverSelectionTimeoutMS=300"


@pytest.mark.parametrize(
    ("place", "kind", "said"),
    [
        ("me:s3cret@{guarded}/db?authSource=admin", StoreError, "user and password"),
        ("reader:s3cret@{guarded}/db", StoreError, "authSource"),
        ("me:s3cret@127.0.0.1:{closed}/db?" + FAST, StoreUnavailable, "no server answers"),
        ("me:s3cret@no-such-host.invalid/db?" + FAST, StoreUnavailable, "no such host"),
        ("{guarded}/db?tls=true&" + FAST, StoreError, "TLS"),
        ("{guarded}/db?replicaSet=other&" + FAST, StoreUnavailable, "replica"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(guarded: str, place: str, kind: type[StoreError], said: str) -> None:
    url = read("mongodb://" + place.format(guarded=guarded, closed=free_port()))
    with pytest.raises(kind, match=said) as caught:
        connect(url)
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


def test_a_user_without_the_right_to_write_is_told_so(guarded: str) -> None:
    url = read(f"mongodb://reader:s3cret@{guarded}/market?authSource=admin")
    with (
        connect(url) as client,
        pytest.raises(StoreError, match="readWrite") as caught,
        translating(url.shown),
    ):
        client.market.things.insert_one({})
    assert "s3cret" not in str(caught.value)


def test_a_server_that_does_not_let_in_without_a_name(guarded: str) -> None:
    url = read(f"mongodb://{guarded}/market")
    with connect(url) as client, pytest.raises(StoreError, match="authentication"), translating(url.shown):
        client.market.things.insert_one({})


def bulk(**part: Any) -> errors.BulkWriteError:
    return errors.BulkWriteError({"writeErrors": [{"index": 0, **part}], "writeConcernErrors": []})


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.AutoReconnect("h: connection closed"), StoreUnavailable),
        (errors.NetworkTimeout("h: timed out (configured timeouts: a lot)"), StoreUnavailable),
        (errors.NotPrimaryError("not primary"), StoreUnavailable),
        (errors.WTimeoutError("waiting for replication timed out", 64), StoreUnavailable),
        (errors.ExecutionTimeout("operation exceeded time limit", 50), StoreUnavailable),
        (errors.OperationFailure("WriteConflict", 112), StoreUnavailable),
        (errors.OperationFailure("x", 999, {"errorLabels": ["TransientTransactionError"]}), StoreUnavailable),
        (errors.OperationFailure("out of disk space", 14031), StoreFull),
        (bulk(code=14031, errmsg="full"), StoreFull),
        (bulk(code=11602, errmsg="interrupted"), StoreUnavailable),
        (bulk(code=2, errmsg="bad value"), StoreError),
        (errors.OperationFailure("Transaction numbers are only allowed on a replica set member", 20), StoreError),
        (errors.InvalidOperation("Cannot use MongoClient after close"), StoreError),
        (InvalidDocument("cannot encode object"), StoreError),
        (InvalidBSON("bad"), StoreCorrupt),
    ],
)
def test_errors_become_ours(error: Exception, kind: type[StoreError]) -> None:
    with pytest.raises(StoreError) as caught, translating("mongodb://me:***@host/db"):
        raise error
    assert type(caught.value) is kind
    assert str(caught.value).startswith("mongodb://me:***@host/db: ")
    assert "configured timeouts" not in str(caught.value)


def test_other_errors_pass() -> None:
    with pytest.raises(KeyError), translating("x"):
        raise KeyError
    assert isinstance(translated(errors.PyMongoError("x"), "y"), StoreError)
