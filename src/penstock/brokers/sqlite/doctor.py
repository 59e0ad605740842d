"""What can be wrong with the file of a SQLite queue, and what to do about it."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from penstock.brokers.diagnosis import Check, Grade, Schema, judge_schema, judge_shipments
from penstock.stores import sqlite
from penstock.stores.migrate import schema_version
from penstock.stores.statements import Statements

_OLDEST = (3, 35, 0)
_LITTLE_SPACE = 1 << 30
#: Bytes of a file that is read as a whole to look for damage; a larger one would take minutes.
_READ_THROUGH = 1 << 30
_LONG_LOG = 256 << 20


def schema(path: str, sql: Statements) -> Schema:
    """Which tables a file has; never creates it."""
    known = sql.migrations()[-1][0]
    if not Path(path).exists():
        return Schema(None, known)
    with sqlite.translating(path), closing(_read_only(path)) as connection:
        if connection.execute(sql["has_schema"]).fetchone() is None:
            return Schema(None, known)
        return Schema(schema_version(connection, sql), known)


def diagnose(path: str, durability: str, sql: Statements) -> Iterator[Check]:
    """Look at a file and at where it lies."""
    yield _library(sqlite3.sqlite_version_info)
    yield _file_system(path)
    yield _space(path)
    found = schema(path, sql)
    yield _tables(found)
    if found.installed is None:
        return
    yield _rights(path)
    with sqlite.translating(path), closing(_read_only(path)) as connection:
        yield _journal(connection, path)
        yield _health(connection, path)
        if found.installed == found.known:
            yield judge_shipments(len(connection.execute(sql["ship_pending"]).fetchall()))
    yield _durability(durability)


def _read_only(path: str) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(os.path.abspath(path))}?mode=ro", uri=True)


def _library(version: Sequence[int]) -> Check:
    shown = ".".join(map(str, version))
    if tuple(version) >= _OLDEST:
        return Check("SQLite", shown)
    return Check("SQLite", shown, Grade.FAIL, "Penstock needs 3.35 or newer: use a Python that is linked to one")


def _file_system(path: str) -> Check:
    kind = sqlite.network_filesystem(sqlite.mounts(), os.path.realpath(path))
    if kind is None:
        return Check("file system", "local")
    return Check("file system", kind, Grade.FAIL, "SQLite's locks do not hold on a network: use a local disk")


def _space(path: str) -> Check:
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        return Check("free space", f"no folder {folder}", Grade.FAIL, "create it, or name another place")
    free = shutil.disk_usage(folder).free
    shown = f"{free / (1 << 30):,.1f} GiB"
    if free >= _LITTLE_SPACE:
        return Check("free space", shown)
    return Check("free space", shown, Grade.WARN, "a queue grows with what waits in it: make room")


def _tables(found: Schema) -> Check:
    if found.installed is not None and found.installed > found.known:
        # Unlike a server's tables, a newer file's are refused.
        return Check(
            "tables", f"schema {found.installed}", Grade.FAIL, f"this Penstock knows {found.known}: upgrade it"
        )
    return judge_schema(found)


def _rights(path: str) -> Check:
    mode = os.stat(path).st_mode & 0o777
    if not os.access(path, os.W_OK) or not os.access(os.path.dirname(os.path.abspath(path)), os.W_OK):
        return Check("rights", f"{mode:o}", Grade.FAIL, "give this user write permission to the file and its folder")
    if mode & 0o077:
        return Check("rights", f"{mode:o}", Grade.WARN, f"others may read the jobs' arguments: chmod 600 {path}")
    return Check("rights", f"{mode:o}")


def _journal(connection: sqlite3.Connection, path: str) -> Check:
    mode = connection.execute("pragma journal_mode").fetchone()[0]
    if mode != "wal":
        return Check("journal", mode, Grade.FAIL, "somebody switched the write-ahead log off: open the queue to set it")
    log = Path(f"{path}-wal")
    size = log.stat().st_size if log.exists() else 0
    shown = f"wal, {size / (1 << 20):,.0f} MiB"
    if size <= _LONG_LOG:
        return Check("journal", shown)
    return Check("journal", shown, Grade.WARN, "a reader keeps the log from being folded back: end what reads for long")


def _health(connection: sqlite3.Connection, path: str) -> Check:
    size = os.stat(path).st_size
    if size > _READ_THROUGH:
        return Check("health", f"not read: {size / (1 << 30):,.1f} GiB; sqlite3 {path} 'pragma quick_check' reads it")
    said = connection.execute("pragma quick_check(1)").fetchone()[0]
    if said == "ok":
        return Check("health", "every page is sound")
    return Check("health", said, Grade.FAIL, "the file is damaged: stop the workers and restore it")


def _durability(durability: str) -> Check:
    if durability == "full":
        return Check("durability", "full")
    lost = "the last commits" if durability == "normal" else "the whole file"
    return Check("durability", durability, Grade.WARN, f"a power cut may cost {lost}: ?durability=full")
