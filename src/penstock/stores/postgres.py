"""PostgreSQL: reading URLs, connections that never hang for ever, and saying what is wrong in one line."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode

import msgspec

from penstock.errors import (
    ConfigError,
    MissingExtra,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
)

try:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict, make_conninfo
    from psycopg.rows import TupleRow
except ImportError:
    raise MissingExtra("postgresql:// needs psycopg: pip install 'penstock[postgres]'") from None

T = TypeVar("T")

#: Seconds for which a server may give no sign of life while it is asked something.
PATIENCE = 60.0
_SCHEMES = ("postgresql://", "postgres://")
_SECRET = re.compile(r"//([^:@/]*):.*@", re.DOTALL)
_MASKED = r"//\1:***@"
#: What a URL that says nothing about it gets. A dead peer is noticed within a minute, by either end's silence.
_DEFAULTS = {
    "fallback_application_name": "penstock",
    "connect_timeout": "10",
    "keepalives_idle": "20",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}


class PostgresUrl(msgspec.Struct, frozen=True):
    """A parsed `postgresql://` URL.

    `conninfo` is for psycopg and may hold a password; `options` are the caller's own; `shown` is fit for messages.
    """

    conninfo: str
    options: dict[str, str]
    shown: str

    def __repr__(self) -> str:
        return f"PostgresUrl({self.shown!r})"


def parse(url: str, own: Collection[str]) -> PostgresUrl:
    """Read `postgresql://user:password@host:port/database?name=value`, with anything libpq takes after `?`.

    Parameters:
        own: the names of options that are the caller's and not libpq's.

    Raises:
        ConfigError: with what to write, and without the password.
    """
    scheme = next((scheme for scheme in _SCHEMES if url.startswith(scheme)), None)
    unread = ConfigError(
        "write postgresql://user:password@host:5432/database, with %40 for a @ in a name or password and so on, "
        f"not {_SECRET.sub(_MASKED, url).partition('?')[0]!r}"
    )
    if scheme is None or "\0" in url:
        raise unread
    # A question mark may stand in a password: the options begin after the host.
    question = url.find("?", url.find("@", 0, _path_start(url)) + 1)
    address, query = (url, "") if question < 0 else (url[:question], url[question + 1 :])
    pairs = parse_qsl(query, keep_blank_values=True)
    known = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()}
    unknown = [name for name, _ in pairs if name not in known and name not in own]
    if unknown and all(name.isidentifier() for name in unknown):
        ours = " and ".join(f"?{name}=" for name in own)
        raise ConfigError(f"{scheme} takes {ours} and the parameters of libpq, not {', '.join(unknown)}")
    theirs = [(name, value) for name, value in pairs if name not in own]
    try:
        given = {
            name: str(value)
            for name, value in conninfo_to_dict(f"{address}?{urlencode(theirs)}" if theirs else address).items()
        }
        conninfo = make_conninfo(**{**_DEFAULTS, **given})
    except psycopg.Error:
        raise unread from None
    if not all(port.isdecimal() and 0 < int(port) < 1 << 16 for port in given.get("port", "5432").split(",") if port):
        raise unread
    return PostgresUrl(conninfo, {name: value for name, value in pairs if name in own}, _SECRET.sub(_MASKED, address))


def _path_start(url: str) -> int:
    slash = url.find("/", url.find("://") + 3)
    return len(url) if slash < 0 else slash


class Connection(psycopg.Connection[TupleRow]):
    """A connection that gives up on a server, or a proxy before it, which takes questions and does not answer."""

    patience = PATIENCE

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **kwargs: Any) -> T:
        """Let psycopg wait, until the server has been silent for too long: then the connection is closed."""
        try:
            return super().wait(_within(gen, self.patience), *args, **kwargs)
        except NoAnswer:
            self.give_up()
            raise

    def give_up(self) -> None:
        """Close it in the middle of a statement. A server that is only slow had better stop what nobody waits for any more."""
        with suppress(psycopg.Error):
            self.cancel_safe(timeout=2.0)
        self.close()


class NoAnswer(psycopg.OperationalError):
    """The server has been silent for too long: for so many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no answer in {seconds:.0f} s")


def _within(gen: Generator[Any, Any, T], patience: float) -> Generator[Any, Any, T]:
    """The same generator, ended when nothing has come for so long. psycopg sends 0 where it waited in vain."""
    try:
        wanted = next(gen)
        silent_since = 0.0
        while True:
            ready = yield wanted
            if ready:
                silent_since = 0.0
            elif not silent_since:
                silent_since = time.monotonic()
            elif time.monotonic() - silent_since > patience:
                raise NoAnswer(patience)
            wanted = gen.send(ready)
    except StopIteration as stop:
        result: T = stop.value
        return result


def connect(url: PostgresUrl, *, patience: float = PATIENCE) -> Connection:
    """Connect, in autocommit mode.

    The driver prepares nothing on the server's side, where a pooler such as PgBouncer might hand the next statement to
    another session.

    Parameters:
        patience: seconds for which the server may give no sign of life during a statement.

    Raises:
        StoreError: one of its kinds, with what to do about it.
    """
    try:
        connection = Connection.connect(url.conninfo, autocommit=True, prepare_threshold=None)
    except psycopg.ProgrammingError as error:
        raise ConfigError(f"{url.shown}: {_one_line(str(error))}") from None
    except psycopg.Error as error:
        raise _refused(error, url.shown) from None
    connection.patience = patience
    return connection


#: What a failed connection says, and what to say and do about it: there is no code to go by. In the order of asking.
_REFUSALS: list[tuple[str, type[StoreError | ConfigError], str]] = [
    (r"invalid \S+ value|invalid integer value", ConfigError, "a parameter after ? has a value that libpq does not take"),
    (r"password authentication failed|no password supplied|authentication failed", StoreError, "the server does not accept this user and password: check both"),
    (r'database "[^"]*" does not exist', StoreError, "there is no such database: create it (createdb), or name another"),
    (r'role "[^"]*" does not exist', StoreError, "there is no such user: create it (createuser), or name another"),
    (r"permission denied for database|CONNECT privilege", StoreError, "this user may not connect: grant connect on the database to it"),
    (r"server does not support SSL", StoreError, "the server has no TLS: switch it on there, or write ?sslmode=prefer"),
    (r"certificate|SSL error|root\.crt", StoreError, "the server's certificate was not accepted: name the authority's with ?sslrootcert="),
    (r"no encryption", StoreError, "the server asks for TLS, or does not let this address in: write ?sslmode=require, or add it to pg_hba.conf"),
    (r"no pg_hba\.conf entry|pg_hba\.conf rejects", StoreError, "the server does not let this user in from here: add a line to its pg_hba.conf"),
    (r"too many (clients|connections)|remaining connection slots", StoreUnavailable, "the server has no connection left: raise max_connections, or use a pooler"),
    (r"starting up|shutting down|in recovery|not yet accepting", StoreUnavailable, "the server is starting or stopping: try again"),
    (r"read-write|read-only|hot standby", StoreUnavailable, "no server there takes writes: wait for a new primary, or name it"),
    (r"server closed the connection|reset by peer|broken pipe", StoreUnavailable, "the server, or what is in between, hangs up: see its log, and try again"),
    (r"could not translate host name|resolve|Name or service", StoreUnavailable, "there is no such host: check its name"),
    (r"refused|No such file|timeout|timed out|unreachable|No route", StoreUnavailable, "no server answers: start it, or check host and port"),
]  # fmt: skip


def _refused(error: psycopg.Error, shown: str) -> StoreError | ConfigError:
    text = str(error)
    for pattern, kind, advice in _REFUSALS:
        if re.search(pattern, text, re.IGNORECASE):
            return kind(f"{shown}: {advice}")
    return StoreUnavailable(f"{shown}: can't connect: {_one_line(text)}")


@contextmanager
def translating(shown: str) -> Iterator[None]:
    """Turn what psycopg raises inside into the `StoreError` that fits, with what to do about it.

    Parameters:
        shown: of the database's `PostgresUrl`.
    """
    try:
        yield
    except psycopg.Error as error:
        raise translated(error, shown) from error


_UNAVAILABLE = ("08", "40", "57", "53", "25P", "55P03", "55006")


def translated(error: psycopg.Error, shown: str) -> StoreError:
    """The `StoreError` that fits an error of psycopg's."""
    code = error.sqlstate or ""
    said = _one_line(error.diag.message_primary or str(error))
    if code == "53100":
        return StoreFull(f"{shown}: no space left on the server: free some, then try again; nothing was written")
    if code == "25006":
        return StoreReadOnly(f"{shown} may not be written: it is a standby or set read-only: name the primary")
    if code in {"42501", "28000"}:
        return StoreError(f"{shown}: {said}: grant this user what it needs, or let the owner run penstock install")
    if code in {"3F000", "42P01", "42883", "42703"}:
        return StoreError(f"{shown}: {said}: run penstock install or penstock upgrade")
    if code.startswith("XX00") and code != "XX000":
        return StoreCorrupt(f"{shown}: the server found damaged data: restore it ({said})")
    lost = not code and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    if lost or code.startswith(_UNAVAILABLE):
        return StoreUnavailable(f"{shown}: {said}: try again")
    return StoreError(f"{shown}: {said}")


def _one_line(text: str) -> str:
    return " ".join(text.split())
