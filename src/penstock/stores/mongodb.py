"""MongoDB: reading URLs, clients that never hang for ever, and saying what is wrong in one line."""

from __future__ import annotations

import linecache
import re
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import unquote

import msgspec

from penstock.errors import ConfigError, MissingExtra, StoreCorrupt, StoreError, StoreFull, StoreUnavailable

try:
    import pymongo
    from bson.binary import UUID_SUBTYPE, Binary
    from bson.codec_options import CodecOptions
    from bson.errors import BSONError, InvalidBSON
    from pymongo import MongoClient
    from pymongo.errors import (
        AutoReconnect,
        BulkWriteError,
        ConfigurationError,
        ConnectionFailure,
        OperationFailure,
        PyMongoError,
    )
    from pymongo.uri_parser import parse_uri
except ImportError:
    raise MissingExtra("mongodb:// needs pymongo: pip install 'penstock[mongodb]'") from None

T = TypeVar("T")

#: What pymongo gives and takes where nothing more is known of it.
Document = dict[str, Any]
Client = MongoClient[Document]

DEFAULT_DATABASE = "penstock"
#: Seconds after which work that waits looks who holds it up, and how often it does.
_LOCKED = 1.0
_PATIENCE = 4
_SRV = "mongodb+srv://"
_PLAIN = "mongodb://"
_SECRET = re.compile(r"//([^:@/]*):.*@", re.DOTALL)
_MASKED = r"//\1:***@"
#: What a URL that says nothing about it gets. A write is told as done when it will survive the loss of a minority of
#: the servers; `journal` says the same of a server that stands alone and loses its power.
_DEFAULTS: dict[str, Any] = {
    "connectTimeoutMS": 10_000,
    "serverSelectionTimeoutMS": 10_000,
    "socketTimeoutMS": 60_000,
    "wTimeoutMS": 30_000,
    "w": "majority",
    "journal": True,
    "uuidRepresentation": "standard",
}


class MongoUrl(msgspec.Struct, frozen=True):
    """A parsed `mongodb://` URL.

    `uri` is for pymongo and may hold a password; `options` are the caller's own; `shown` is fit for messages.
    """

    uri: str
    database: str
    options: dict[str, str]
    shown: str

    def __repr__(self) -> str:
        return f"MongoUrl({self.shown!r})"


def parse(url: str, own: Collection[str]) -> MongoUrl:
    """Read `mongodb://user:password@host:port,host/database?name=value`, with anything pymongo takes after `?`.

    `mongodb+srv://` is not looked up in the DNS yet.

    Parameters:
        own: the names of options that are the caller's and not pymongo's.

    Raises:
        ConfigError: with what to write, and without the password.
    """
    address, _, query = url.partition("?")
    shown = _SECRET.sub(_MASKED, address)
    unread = ConfigError(
        "write mongodb://user:password@host:27017/database, with %40 for a @ in a name or password and so on, "
        f"not {_SECRET.sub(_MASKED, url).partition('?')[0]!r}"
    )
    scheme = next((scheme for scheme in (_PLAIN, _SRV) if address.startswith(scheme)), None)
    if scheme is None or "\0" in url or "@" in query:
        raise unread
    place = address.removeprefix(scheme)
    if scheme == _SRV and re.search(r"[,\]]|:\d*$", place.partition("/")[0].rpartition("@")[2]):
        raise ConfigError(f"{_SRV} names one host and no port, which the DNS tells: not {shown!r}")
    try:
        parsed = parse_uri(_PLAIN + place)
    except (PyMongoError, ValueError):
        raise unread from None
    database = parsed["database"] or DEFAULT_DATABASE
    if parsed["collection"] or len(database.encode()) > 63:
        raise unread
    pairs = [pair.partition("=") for pair in re.split("[&;]", query) if pair]
    theirs = [(name, value) for name, _, value in pairs if name not in own]
    _check_options(scheme, own, theirs)
    uri = address if "/" in place else f"{address}/"
    if theirs:
        uri = f"{uri}?{'&'.join(f'{name}={value}' for name, value in theirs)}"
    return MongoUrl(uri, database, {name: unquote(value) for name, _, value in pairs if name in own}, shown)


def _check_options(scheme: str, own: Collection[str], pairs: Collection[tuple[str, str]]) -> None:
    """Refuse what pymongo would refuse later, or warn of and ignore. A value may be a secret: names only."""
    for name, value in pairs:
        if name.lower().startswith("srv") and scheme == _SRV:
            continue
        if name.lower() == "w" and value == "0":
            raise ConfigError(f"{scheme} with ?w=0 would lose writes without a word: leave it out")
        try:
            parse_uri(f"{_PLAIN}host/?{name}={value}")
        except (PyMongoError, ValueError, TypeError, OSError) as error:
            if "nknown option" in str(error) and name.isidentifier():
                ours = " and ".join(f"?{option}=" for option in own)
                raise ConfigError(f"{scheme} takes {ours} and the options of a MongoDB URI, not {name}") from None
            if not isinstance(error, ConfigurationError):
                raise ConfigError(f"{scheme}: ?{name}= has a value that MongoDB does not take") from None


def connect(url: MongoUrl) -> Client:
    """Make a client, and see that a server which takes writes answers.

    A client is safe in threads, but not across a fork: a child process makes its own.

    Raises:
        StoreError: one of its kinds, with what to do about it.
        ConfigError: an option of the URL can't be used.
    """
    given = {name.lower() for name in re.findall(r"[?&]([^=&]+)=", url.uri)}
    defaults = {name: value for name, value in _DEFAULTS.items() if name.lower() not in given}
    # Told apart from the user's own by its name, whatever the URL calls it: see `patiently`.
    defaults["appName"] = " ".join(["penstock", *re.findall(r"[?&]appname=([^&]+)", url.uri, re.IGNORECASE)])
    try:
        with _without_sources():
            client: Client = MongoClient(url.uri, readPreference="primary", tz_aware=True, **defaults)
    except (ConfigurationError, ValueError, OSError) as error:
        raise _refused(error, url.shown) from None
    try:
        # Any command selects a server and logs in; this one asks for a primary.
        client.get_database(url.database).command("ping")
    except PyMongoError as error:
        client.close()
        raise _refused(error, url.shown) from None
    return client


@contextmanager
def _without_sources() -> Iterator[None]:
    """Forget the lines of source that the work inside reads.

    A client keeps a picture of the stack that made it, for which Python reads, and keeps, each file on it: 0.8 MB in
    each process of a worker.
    """
    before = set(linecache.cache)
    try:
        yield
    finally:
        for name in set(linecache.cache) - before:
            linecache.cache.pop(name, None)


def is_replica_set(client: Client) -> bool:
    """Can the server do transactions and change streams? A replica set can, and what routes to several of them."""
    hello = client.admin.command("hello")
    return "setName" in hello or hello.get("msg") == "isdbgrid"


def patiently(client: Client, work: Callable[[], T]) -> T:
    """Do the work, although a transaction whose process was killed may hold what it needs.

    MongoDB would hold it for a minute or more. A transaction of Penstock's that does nothing while the work waits for
    `_LOCKED` seconds is ended; one that is only slow meets an error then that tells it to begin again.

    Parameters:
        work: may be begun again.
    """
    idle: dict[bytes, int] = {}
    for _ in range(_PATIENCE):
        try:
            with pymongo.timeout(_LOCKED):
                return work()
        except PyMongoError as error:
            if not error.timeout:
                raise
        idle = end_idle(client, idle)
    return work()


class Patience:
    """The same for whoever has something else to do meanwhile, and comes back. Is safe in threads.

    Parameters:
        client: ends what is in the way.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._look_at = 0.0
        self._seen: dict[bytes, int] = {}

    def met(self) -> None:
        """A transaction was in the way: end those that have done nothing since a look `_LOCKED` seconds ago."""
        moment = time.monotonic()
        if moment >= self._look_at:
            self._look_at = moment + _LOCKED
            self._seen = end_idle(self._client, self._seen)


def end_idle(client: Client, before: dict[bytes, int]) -> dict[bytes, int]:
    """End the transactions of Penstock's that have done nothing since a look at them.

    Parameters:
        before: what the look before this one gave; empty for the first.
    """
    idle = _open_transactions(client)
    dead = [id for id, active in idle.items() if before.get(id) == active]
    if dead:
        client.admin.command("killSessions", [{"id": Binary(id, UUID_SUBTYPE)} for id in dead])
    return idle


def _open_transactions(client: Client) -> dict[bytes, int]:
    """The sessions of Penstock's with a transaction that does nothing now, and for how long each has done something."""
    stages: list[dict[str, Any]] = [
        {"$currentOp": {"idleSessions": True}},
        {"$match": {"type": "idleSession", "appName": {"$regex": "^penstock"}, "transaction": {"$exists": True}}},
        {"$project": {"id": "$lsid.id", "active": "$transaction.timeActiveMicros"}},
    ]
    admin = client.get_database("admin", codec_options=CodecOptions())
    try:
        return {bytes(found["id"]): int(found["active"]) for found in admin.aggregate(stages)}
    except OperationFailure:
        return {}


#: What a failed connection says, and what to say and do about it. In the order of asking.
_REFUSALS: list[tuple[str, type[StoreError | ConfigError], str]] = [
    (r"authentication failed|auth error|bad auth", StoreError, "the server does not accept this user and password: check both, and ?authSource="),
    (r"requires authentication|not authorized", StoreError, "the server asks for a user and password, or does not let this user in: name one that may read and write here"),
    (r"certificate|hostname mismatch|doesn't match", StoreError, "the server's certificate was not accepted: name the authority's with ?tlsCAFile="),
    (r"SSL handshake failed|WRONG_VERSION|SSL:", StoreError, "TLS failed: if the server has none, write ?tls=false"),
    (r"replica set named|setName|No replica set members", StoreUnavailable, "no member of the replica set takes writes: wait for an election, or check ?replicaSet="),
    (r"No primary|not primary|not master", StoreUnavailable, "no server there takes writes: wait for a new primary, or name every member"),
    (r"DNS query name does not exist|Name or service|name resolution|nodename|No address associated|resolution lifetime", StoreUnavailable, "there is no such host: check its name"),
    (r"refused|No such file|unreachable|No route", StoreUnavailable, "no server answers: start it, or check host and port"),
    (r"connection closed|reset by peer", StoreUnavailable, "the server closes the connection: if it asks for TLS, write ?tls=true"),
    (r"timed out|timeout", StoreUnavailable, "no server answers in time: start it, or check host and port"),
]  # fmt: skip


def _refused(error: Exception, shown: str) -> StoreError | ConfigError:
    text = str(error)
    for pattern, kind, advice in _REFUSALS:
        if re.search(pattern, text, re.IGNORECASE):
            return kind(f"{shown}: {advice}")
    if isinstance(error, PyMongoError) and not isinstance(error, ConfigurationError):
        return translated(error, shown)
    return ConfigError(f"{shown}: an option after ? can't be used: check them ({type(error).__name__})")


@contextmanager
def translating(shown: str) -> Iterator[None]:
    """Turn what pymongo raises inside into the `StoreError` that fits, with what to do about it.

    Parameters:
        shown: of the database's `MongoUrl`.
    """
    try:
        yield
    except (PyMongoError, BSONError) as error:
        raise translated(error, shown) from error


_NO_SPACE = 14031
_DENIED = frozenset({13, 18})
_DAMAGED = 22
#: The server was not in a state to answer, gave up, or two transactions met: a moment later it may do.
_PASSING = frozenset({
    6, 7, 24, 43, 46, 50, 64, 89, 91, 112, 133, 134, 136, 175, 189, 202, 225, 237, 244, 251, 262, 286, 290, 9001,
    10107, 11600, 11601, 11602, 13435, 13436,
})  # fmt: skip


def translated(error: PyMongoError | BSONError, shown: str) -> StoreError:
    """The `StoreError` that fits an error of pymongo's."""
    said = _one_line(error)
    if isinstance(error, InvalidBSON):
        return StoreCorrupt(f"{shown}: the server sent what can't be read: {said}")
    if isinstance(error, BSONError):
        return StoreError(f"{shown}: can't be stored: {said}")
    codes = _codes(error)
    if _NO_SPACE in codes or "No space left" in said:
        return StoreFull(f"{shown}: no space left on the server: free some, then try again; nothing was written")
    if codes & _DENIED:
        return StoreError(f"{shown}: {said}: grant this user the role readWrite on the database")
    if _DAMAGED in codes:
        return StoreCorrupt(f"{shown}: the server found damaged data: restore it ({said})")
    if 20 in codes and "Transaction numbers" in said:
        return StoreError(f"{shown}: a server that stands alone has no transactions: make it a replica set")
    passing = isinstance(error, ConnectionFailure) or error.timeout or codes & _PASSING
    if passing or error.has_error_label("TransientTransactionError") or error.has_error_label("RetryableWriteError"):
        return StoreUnavailable(f"{shown}: {said}: try again")
    return StoreError(f"{shown}: {said}")


def _codes(error: PyMongoError) -> set[int]:
    """Every code that an error carries; one write of many may have failed, or its confirmation only."""
    if isinstance(error, BulkWriteError):
        parts = [*error.details.get("writeErrors", ()), *error.details.get("writeConcernErrors", ())]
        return {int(part.get("code", 0)) for part in parts}
    if isinstance(error, OperationFailure) and error.code is not None:
        return {error.code}
    return set()


def _one_line(error: Exception) -> str:
    """What an error says, without the description of every server that pymongo adds."""
    text = str(error)
    if isinstance(error, BulkWriteError):
        parts = [*error.details.get("writeErrors", ()), *error.details.get("writeConcernErrors", ())]
        text = "; ".join(dict.fromkeys(str(part.get("errmsg", "")) for part in parts)) or text
    elif isinstance(error, OperationFailure):
        text = str((error.details or {}).get("errmsg", text))
    elif isinstance(error, AutoReconnect):
        text = re.split(r" \(configured timeouts|, Timeout: |, Topology Description", text)[0]
    return " ".join(text.split())[:500]
