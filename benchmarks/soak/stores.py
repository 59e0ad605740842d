"""The stores that a soak is on, asked from outside for what they keep; each lets somebody hold a transaction open."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import msgspec

from benchmarks.places import url
from penstock.testing.servers import PostgresServer

#: By the name that the command line takes, as it is called.
NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
_TABLES = """
select relname, pg_total_relation_size(relid)::bigint, n_dead_tup::bigint from pg_stat_user_tables
where schemaname = 'penstock' and pg_total_relation_size(relid) > 65536
"""


class Kept(msgspec.Struct, frozen=True):
    """What a store keeps: bytes, but for the counts.

    Parameters:
        size: of its file, or of all its tables with their indexes.
        wal: of the write-ahead log, which is used again and again: the room it takes.
        garbage: pages of the file that are free, or rows of the tables that nobody needs any more and vacuum has not yet removed.
        tables: of each table of more than 64 KiB.
        results: values that are kept.
        dead: letters.
    """

    size: int
    wal: int
    garbage: int
    tables: dict[str, int]
    results: int
    dead: int


class Store(Protocol):
    """One that runs."""

    name: str
    url: str
    #: How it is set up, in words, with its version.
    settings: str
    #: Of its process; None where there is no server.
    pid: int | None

    def kept(self) -> Kept:
        """As it is now."""

    def hold(self) -> None:
        """Open a transaction that sees the queue as it is now, and leave it open."""

    def release(self) -> None:
        """End it."""


class SqliteStore:
    """A file on the disk."""

    name = NAMES["sqlite"]
    pid: int | None = None
    settings = f"SQLite {sqlite3.sqlite_version}, commits wait for the disk"

    def __init__(self, place: Path) -> None:
        self._path = place / "queue.db"
        self.url = url(self._path)
        self._looking: sqlite3.Connection | None = None
        self._holding: sqlite3.Connection | None = None

    def kept(self) -> Kept:
        """See `Store`."""
        if self._looking is None:
            self._looking = self._connect()
        ask = self._looking.execute
        pages, free, page = (int(ask(f"pragma {name}").fetchone()[0]) for name in _PAGES)
        results, dead = ask(
            "select (select count(*) from penstock_result), (select count(*) from penstock_ended)"
        ).fetchone()
        log = Path(f"{self._path}-wal")
        return Kept(pages * page, log.stat().st_size if log.exists() else 0, free, {}, results, dead)

    def hold(self) -> None:
        """See `Store`: the log can't be begun anew behind what a reader may still read."""
        self._holding = self._connect()
        self._holding.execute("begin")
        self._holding.execute("select count(*) from penstock_meta").fetchall()

    def release(self) -> None:
        """See `Store`."""
        if self._holding is not None:
            self._holding.close()
            self._holding = None

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, isolation_level=None, timeout=30)


_PAGES = ("page_count", "freelist_count", "page_size")


class PostgresStore:
    """A server on the disk, as `initdb` sets it up."""

    name = NAMES["postgresql"]

    def __init__(self, server: PostgresServer) -> None:
        import psycopg

        self._server = server
        self.url = server.url()
        self.pid: int | None = server.process.pid
        self._looking = psycopg.connect(self.url, autocommit=True)
        version = self._looking.info.server_version
        self.settings = (
            f"PostgreSQL {version // 10000}.{version % 10000} with its default settings, commits wait for the disk"
        )
        self._holding: psycopg.Connection[Any] | None = None

    def kept(self) -> Kept:
        """See `Store`."""
        rows = self._looking.execute(_TABLES).fetchall()
        wal = self._looking.execute("select sum(size)::bigint from pg_ls_waldir()").fetchone()
        counts = self._looking.execute(
            "select (select count(*) from penstock.result), (select count(*) from penstock.job where state >= 3)"
        ).fetchone()
        assert wal is not None
        assert counts is not None
        tables = {name: size for name, size, _ in rows}
        return Kept(sum(tables.values()), wal[0], sum(row[2] for row in rows), tables, *counts)

    def hold(self) -> None:
        """See `Store`: vacuum may remove nothing that this one might still see."""
        import psycopg

        self._holding = psycopg.connect(self.url)
        self._holding.execute("set transaction isolation level repeatable read")
        self._holding.execute("select count(*) from penstock.worker")

    def release(self) -> None:
        """See `Store`."""
        if self._holding is not None:
            self._holding.close()
            self._holding = None


@contextmanager
def store(name: str, place: Path) -> Iterator[Store]:
    """The one of a name of the command line; what has no folder of its own on the disk gets one in a folder."""
    if name == "sqlite":
        yield SqliteStore(place)
    else:
        with PostgresServer(durable=True) as server:
            yield PostgresStore(server)
