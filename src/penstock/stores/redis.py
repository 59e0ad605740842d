"""Redis: reading URLs, connections that never hang for ever, and saying what is wrong in one line."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import msgspec

from penstock.errors import ConfigError, MissingExtra, StoreError, StoreFull, StoreReadOnly, StoreUnavailable

try:
    import hiredis  # noqa: F401 - the brokers' wire packs with it
    import redis
    from redis.backoff import NoBackoff
    from redis.cluster import ClusterNode, RedisCluster
    from redis.exceptions import (
        AuthenticationError,
        AuthorizationError,
        ClusterDownError,
        NoPermissionError,
        OutOfMemoryError,
        ReadOnlyError,
        RedisError,
        ResponseError,
    )
    from redis.exceptions import (
        ConnectionError as Unreachable,
    )
    from redis.exceptions import (
        TimeoutError as Late,
    )
    from redis.retry import Retry
    from redis.sentinel import MasterNotFoundError, Sentinel
except ImportError:
    raise MissingExtra("redis:// needs redis: pip install 'penstock[redis]'") from None

Client = redis.Redis | RedisCluster

_PORT, _SENTINEL_PORT = 6379, 26379
#: Seconds for a connection to be made.
_CONNECT = 10.0
#: As PostgreSQL's: a server that was cut off is found out within 30 to 50 seconds, whether something was sent or not. Not every system has all of them.
_KEEPALIVE = {
    getattr(socket, name): value
    for name, value in {
        "TCP_KEEPIDLE": 20,
        "TCP_KEEPINTVL": 10,
        "TCP_KEEPCNT": 3,
        "TCP_USER_TIMEOUT": 30_000,
    }.items()
    if hasattr(socket, name)
}
_NAMESPACE = re.compile(r"[A-Za-z0-9_.-]{1,100}\Z")
_TLS = {"ca": "ssl_ca_certs", "cert": "ssl_certfile", "key": "ssl_keyfile"}
_OWN = ("namespace", "timeout", "tls", *_TLS)
_ADDRESS = re.compile(r"(rediss?|valkeys?)(\+sentinel)?://(?:(.*)@)?([^/@]*)(?:/(.*))?\Z", re.DOTALL)
_SECRET = re.compile(r"//([^:@/]*):?.*@", re.DOTALL)
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\[\]:]*)(?::(\d{1,5}))?\Z")


class RedisUrl(msgspec.Struct, frozen=True):
    """A parsed URL: who to ask, and `shown`, which is fit for messages.

    `timeout` is the seconds that the server has for each answer: far more than any script takes. `service` is the name of the master that the hosts, which are sentinels then, tell the address of.
    """

    hosts: tuple[tuple[str, int], ...]
    shown: str
    options: dict[str, Any]
    database: int = 0
    service: str | None = None
    namespace: str = "penstock"
    timeout: float = 60.0

    def __repr__(self) -> str:
        return f"RedisUrl({self.shown!r})"

    @property
    def encrypted(self) -> bool:
        """Does it ask for TLS?"""
        return bool(self.options.get("ssl"))


def parse(url: str) -> RedisUrl:
    """Read `redis://user:password@host:6379/0?namespace=shop`; `rediss://` is TLS, and `redis+sentinel://host,host/service/0` asks sentinels.

    A host may be the path of a Unix socket, with %2F for each slash: `redis://%2Frun%2Fredis%2Fredis.sock/0`.

    Raises:
        ConfigError: with what to write, and without the password.
    """
    address, _, query = url.partition("?")
    shown = _SECRET.sub(r"//\1:***@", url if "@" in query else address)
    unread = ConfigError(
        "write redis://user:password@host:6379/0, with %40 for a @ in a name or password and so on, "
        f"or redis+sentinel://host,host/service, not {shown!r}"
    )
    found = _ADDRESS.match(address)
    if found is None or "\0" in url or "@" in query:
        raise unread
    scheme, asks, secret, places, path = found.groups()
    hosts = tuple(_host(place, _SENTINEL_PORT if asks else _PORT, unread) for place in places.split(","))
    service, _, database = (path or "").partition("/") if asks else (None, "", path or "")
    if (asks and not service) or not re.fullmatch(r"\d{0,5}", database):
        raise unread
    given = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(set(given) - set(_OWN))
    if unknown:
        names = ", ".join(f"?{name}=" for name in _OWN)
        raise ConfigError(f"{scheme}:// takes {names}, not {', '.join(unknown)}")
    namespace = given.get("namespace", "penstock")
    if not _NAMESPACE.match(namespace):
        raise ConfigError(f"namespace must be letters, digits, _, . and -, not {namespace!r}")
    options: dict[str, Any] = {"ssl": True} if scheme in {"rediss", "valkeys"} else {}
    options |= {_TLS[name]: value for name, value in given.items() if name in _TLS}
    if given.get("tls", "verified") not in {"verified", "unverified"}:
        raise ConfigError("?tls= is verified or unverified")
    if given.get("tls") == "unverified":
        options |= {"ssl_cert_reqs": "none", "ssl_check_hostname": False}
    if secret is not None:
        user, colon, password = secret.partition(":")
        options |= {"username": unquote(user) or None, "password": unquote(password) if colon else None}
    timeout = given.get("timeout", "60")
    if not re.fullmatch(r"\d{1,4}(\.\d+)?", timeout) or not float(timeout):
        raise ConfigError(f"?timeout= is a number of seconds, not {timeout!r}")
    return RedisUrl(hosts, shown, options, int(database or 0), service or None, namespace, float(timeout))


def _host(place: str, port: int, unread: ConfigError) -> tuple[str, int]:
    found = _HOST.match(place)
    if found is None or int(found[2] or port) > 65535:
        raise unread
    return unquote(found[1].strip("[]")) or "localhost", int(found[2] or port)


def is_path(host: str) -> bool:
    """Is it a Unix socket?"""
    return host.startswith("/")


def connect(url: RedisUrl) -> Client:
    """Make a client, and see that the server answers; a member of a cluster makes it a client of the whole.

    Raises:
        StoreError: one of its kinds, with what to do about it.
    """
    for name, option in _TLS.items():
        if not Path(file := url.options.get(option, os.devnull)).exists():
            raise ConfigError(f"{url.shown}: ?{name}= names a file that is not there: {file}")
    options: dict[str, Any] = {
        # A command that may have been done is not sent again by itself: the broker knows which may be.
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": url.timeout,
        "socket_connect_timeout": min(_CONNECT, url.timeout),
        "socket_keepalive": True,
        "socket_keepalive_options": _KEEPALIVE,
        "protocol": 2,
        **url.options,
    }
    with translating(url.shown):
        if url.service is not None:
            return _by_sentinel(url, options)
        last: RedisError | None = None
        for host, port in url.hosts:
            try:
                return _alone(url, host, port, options)
            except (Unreachable, Late) as error:
                if isinstance(error, AuthenticationError | AuthorizationError):
                    raise
                last = error
    assert last is not None, "a URL names a host"
    raise _first_refusal(last, url) from last


def _first_refusal(error: RedisError, url: RedisUrl) -> StoreError:
    """Who does not agree on TLS says nothing that could be understood."""
    if url.encrypted and isinstance(error, Late):
        return StoreUnavailable(
            f"{url.shown}: the server does not answer in time: try again, or write redis:// if it has no TLS"
        )
    if not url.encrypted and re.search(r"[Cc]losed|reset", str(error)):
        return StoreUnavailable(
            f"{url.shown}: the server closed the connection: try again, or write rediss:// if it wants TLS"
        )
    return translated(error, url.shown)


def _alone(url: RedisUrl, host: str, port: int, shared: dict[str, Any]) -> Client:
    where: dict[str, Any] = {"unix_socket_path": host} if is_path(host) else {"host": host, "port": port}
    options = {**shared, **where, "db": url.database}
    # Whoever is there answers this soon; what is asked later may take its time.
    with redis.Redis(**{**options, "socket_timeout": options["socket_connect_timeout"]}) as client:
        command(client, "PING")
        clustered = _in_cluster(client)
    if not clustered:
        return redis.Redis(**options)
    make_node: Any = ClusterNode
    nodes = [make_node(host, port) for host, port in url.hosts]
    return RedisCluster(startup_nodes=nodes, **shared)


def _in_cluster(client: redis.Redis) -> bool:
    try:
        told = command(client, "INFO", "cluster")
    except NoPermissionError:
        return False
    return bool(told.get("cluster_enabled"))


def _by_sentinel(url: RedisUrl, options: dict[str, Any]) -> Client:
    shared = {name: value for name, value in options.items() if name not in {"username", "password"}}
    # A sentinel that hangs must not hold up the next.
    make: Any = Sentinel
    sentinel = make(list(url.hosts), sentinel_kwargs={**shared, "socket_timeout": _CONNECT})
    client: redis.Redis = sentinel.master_for(url.service or "", db=url.database, **options)
    command(client, "PING")
    return client


def command(client: Any, *words: bytes | str | float) -> Any:
    """Send a command, and return its answer as the client reads it."""
    return client.execute_command(*words)


@contextmanager
def translating(shown: str) -> Iterator[None]:
    """Turn what the client raises inside into the `StoreError` that fits, with what to do about it.

    Parameters:
        shown: of the `RedisUrl`.
    """
    try:
        yield
    except (RedisError, OSError) as error:
        raise translated(error, shown) from error


#: What the server or the client says, and what that is and what to do about it. In the order of asking.
_MEANINGS: list[tuple[str, type[StoreError], str]] = [
    (r"WRONGPASS|invalid username-password|invalid password", StoreError, "the server does not accept this user and password: check both"),
    (r"without any password configured", StoreError, "the server has no password set: leave it out of the URL, or set requirepass"),
    (r"NOAUTH|[Aa]uthentication required|HELLO must be called", StoreError, "the server asks for a password: write redis://user:password@host"),
    (r"NOPERM|no permissions|can't run this command or subcommand", StoreError, "this user may not do all that a queue needs: ACL SETUSER name ~{{NAMESPACE}}:* +@all -@dangerous +info"),
    (r"OOM|maxmemory|out of memory", StoreFull, "the server has reached its maxmemory: let workers drain the queue, or raise it; nothing was written"),
    (r"No space left|MISCONF|Errors writing to the AOF", StoreFull, "the server can't write its file, for want of space perhaps: make room there; nothing was written"),
    (r"READONLY|read only replica|UNBLOCKED", StoreReadOnly, "that server is a replica: name its master, or its sentinels with redis+sentinel://"),
    (r"NOREPLICAS|not enough good replicas", StoreUnavailable, "too few replicas follow the server (min-replicas-to-write): bring them back"),
    (r"LOADING|loading the dataset", StoreUnavailable, "the server still loads its data: try again in a while"),
    (r"MASTERDOWN|link with MASTER is down", StoreUnavailable, "that server is a replica which has lost its master: try again after the fail-over"),
    (r"No master found", StoreUnavailable, "no sentinel knows a master of that name: check the name, or wait for the fail-over"),
    (r"TRYAGAIN|TTL exhausted", StoreUnavailable, "the cluster is moving these keys: try again when all are at one node"),
    (r"CLUSTERDOWN|cluster is down|Redis Cluster cannot be connected|MOVED|ASK ", StoreUnavailable, "the cluster does not serve these keys now: try again when its nodes are back"),
    (r"BUSY", StoreUnavailable, "the server is busy with somebody's script: try again, or SCRIPT KILL it"),
    (r"max number of clients", StoreUnavailable, "the server has as many clients as it may: raise maxclients"),
    (r"protected mode", StoreError, "the server is in protected mode: give it a password, or bind it to an address"),
    (r"SELECT is not allowed in cluster", StoreError, "a cluster has database 0 only: write ?namespace= to keep users apart"),
    (r"DB index is out of range|invalid DB index", StoreError, "the server has no database of that number: lower it, or write ?namespace= instead"),
    (r"flags.*not supported|Unexpected engine|Unknown Redis command|unknown command", StoreError, "the server is too old: Penstock needs Redis 7.0 or newer, or Valkey"),
    (r"CERTIFICATE_VERIFY|certificate|hostname mismatch", StoreError, "the server's certificate was not accepted: name the authority's with ?ca="),
    (r"SSL|WRONG_VERSION|record layer", StoreError, "TLS failed: if the server has none, write redis://"),
    (r"Name or service|name resolution|nodename|No address associated", StoreUnavailable, "there is no such host: check its name"),
    (r"refused|No such file|unreachable|No route", StoreUnavailable, "no server answers: start it, or check host and port"),
    (r"[Tt]imed? ?out|[Tt]imeout", StoreUnavailable, "the server does not answer in time: try again, or check host and port"),
    (r"[Cc]onnection (closed|reset)|closed by server|Connection lost|Broken pipe|Error while reading", StoreUnavailable, "the connection was lost: try again"),
]  # fmt: skip


def translated(error: RedisError | OSError, shown: str) -> StoreError:
    """The `StoreError` that fits an error of the client's."""
    said = f"{type(error).__name__}: {error}" if not str(error) else str(error)
    said = said.splitlines()[0]
    if isinstance(error, AuthenticationError) and not re.search("NOAUTH|required|without any", said):
        said = f"WRONGPASS {said}"
    kinds = {
        OutOfMemoryError: "OOM", ReadOnlyError: "READONLY", NoPermissionError: "NOPERM", ClusterDownError: "CLUSTERDOWN",
        MasterNotFoundError: "No master found",
    }  # fmt: skip
    text = " ".join([*(word for kind, word in kinds.items() if isinstance(error, kind)), said])
    for pattern, kind, advice in _MEANINGS:
        if re.search(pattern, text):
            return kind(f"{shown}: {advice}")
    if isinstance(error, ResponseError) and not isinstance(error, Unreachable):
        return StoreError(f"{shown}: {said}")
    return StoreUnavailable(f"{shown}: {said}: try again")
