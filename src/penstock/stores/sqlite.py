"""SQLite files: opening them safely, locking them fairly, and saying what is wrong in one line."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from urllib.parse import parse_qsl, unquote

import msgspec

from penstock.core.masking import without_password
from penstock.errors import (
    ConfigError,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
    UnsafeFilesystem,
)

DURABILITIES = ("full", "normal", "off")
_BUSY_SECONDS = 30.0
#: Of every file that is made here: a queue holds the arguments of jobs.
_MODE = 0o600
#: Pages of the write-ahead log (4 KiB each) after which it is folded back into the file, and begun again. Where much is written at
#: once, it is long: SQLite's own 1,000 drained no-op jobs 5-10 % slower. Where single jobs go in, it is short: as long as the log
#: grows, each commit makes the file system write where it ends as well, two waits for the disk in place of one.
LONG_LOG = 4000
SHORT_LOG = 1000
_NETWORK_FILESYSTEMS = frozenset(
    "nfs nfs4 cifs smb3 smbfs 9p afs ceph glusterfs lustre ocfs2 gfs2 beegfs fuse.sshfs fuse.glusterfs".split()
)

#: What sqlite3 raises; from a damaged file also names in its own message that are no text.
_DRIVERS = (sqlite3.Error, UnicodeDecodeError)

#: Held while a file is created, so that no thread connects to it before the descriptor is closed that made it.
_creating = threading.Lock()


class SqliteUrl(msgspec.Struct, frozen=True):
    """A parsed `sqlite:///` URL: the file, and the options after `?`."""

    path: str
    options: dict[str, str]


def parse(url: str) -> SqliteUrl:
    """Read `sqlite:///relative.db`, `sqlite:////absolute.db`, with `?name=value` options; `ConfigError` otherwise."""
    start, scheme, rest = url.partition("sqlite:///")
    place, _, options = rest.partition("?")
    path = unquote(place)
    if start or not scheme or not path or "\0" in path:
        raise ConfigError(f"write sqlite:///relative.db or sqlite:////absolute/path.db, not {without_password(url)!r}")
    if path == ":memory:":
        raise ConfigError("a queue in memory can't be shared between processes: name a file, as sqlite:///jobs.db")
    return SqliteUrl(path, dict(parse_qsl(options, keep_blank_values=True)))


def connect(path: str, *, durability: str = "full", log: int = LONG_LOG) -> sqlite3.Connection:
    """Open (and create) a file in autocommit mode with a write-ahead log.

    Parameters:
        durability: `full` survives a power cut with every commit, `normal` may lose the last commits then, `off`
            may lose the file. None of them loses anything when only processes die.
        log: see `keep_log`.

    Raises:
        StoreError: one of its kinds, with what to do about it.
    """
    if durability not in DURABILITIES:
        raise ConfigError(f"durability is one of {', '.join(DURABILITIES)}, not {durability!r}")
    _check_place(path)
    with translating(path):
        connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            # The first to open a new file switches its journal, which whoever opens it just then would be refused.
            with closing(FileLock(path)) as lock, lock:
                connection.execute("pragma journal_mode = wal")
            connection.execute(f"pragma synchronous = {durability}")
            keep_log(connection, log)
            connection.execute("pragma journal_size_limit = 67108864")
        except BaseException:
            connection.close()
            raise
    return connection


def keep_log(connection: sqlite3.Connection, pages: int) -> None:
    """Have commits of a connection fold the write-ahead log back into the file when it has so many pages."""
    connection.execute(f"pragma wal_autocheckpoint = {pages}")


def _check_place(path: str) -> None:
    """Refuse what SQLite would explain badly, and create the file readable by its owner alone."""
    if os.path.isdir(path):
        raise StoreError(f"{path} is a folder: name a file in it")
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise StoreError(f"there is no folder {folder}: create it, or name another place for {os.path.basename(path)}")
    kind = network_filesystem(mounts(), os.path.realpath(path))
    if kind is not None:
        raise UnsafeFilesystem(
            f"{path} lies on a network file system ({kind}), where SQLite's locks do not hold: use a local disk"
        )
    try:
        with _creating:
            _create(os.path.realpath(path))
    except OSError as error:
        raise _from_os(error, path) from error


def _create(path: str) -> None:
    """Create a file that is not there, and never open one that is.

    Closing it again would end the POSIX locks of every connection that this process has to it. The next program that
    leaves the file would take itself for the last, and delete the log that those connections go on writing to.
    """
    try:
        # SQLite gives its files beside this one the same mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE))
    except FileExistsError:
        if not os.access(path, os.R_OK | os.W_OK):
            raise PermissionError(errno.EACCES, "Permission denied") from None


def mounts() -> str:
    """What is mounted where, as the kernel tells it; empty where it does not."""
    try:
        return Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def network_filesystem(mountinfo: str, path: str) -> str | None:
    """The type of the file system that holds `path`, if it is a network one; `mountinfo` as in /proc/self/mountinfo."""
    best, kind = "", ""
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) < 5 or not after:
            continue
        point = fields[4].replace("\\040", " ")
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, after.split()[0]
    return kind if kind in _NETWORK_FILESYSTEMS else None


def _from_os(error: OSError, path: str) -> StoreError:
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StoreReadOnly(f"{path} may not be written: give this user write permission to it and to its folder")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreFull(f"no space left for {path}: free some, then try again; nothing was written")
    return StoreError(f"{path} can't be opened: {error.strerror}")


@contextmanager
def translating(path: str) -> Iterator[None]:
    """Turn what sqlite3 raises inside into the `StoreError` that fits, with what to do about it."""
    try:
        yield
    except _DRIVERS as error:
        raise _translated(error, path) from error


def _translated(error: Exception, path: str) -> StoreError:
    if isinstance(error, UnicodeDecodeError):
        return _corrupt(path, "what it holds is no text")
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN):
        return StoreReadOnly(f"{path} may not be written: give this user write permission to it and to its folder")
    if code == sqlite3.SQLITE_FULL:
        return StoreFull(f"no space left for {path}: free some, then try again; nothing was written")
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return _corrupt(path, str(error))
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreUnavailable(f"{path} was locked for {_BUSY_SECONDS:.0f} s: end the program that holds it")
    if code == sqlite3.SQLITE_IOERR:
        return StoreUnavailable(f"{path} can't be read or written now ({error}): check the disk and its free space")
    return StoreError(f"{path}: {error}")


def _corrupt(path: str, why: str) -> StoreCorrupt:
    return StoreCorrupt(
        f"{path} is no SQLite database, or a damaged one: name another file, or restore this one ({why})"
    )


class FileLock:
    """A fair lock between processes: whoever waits sleeps in the kernel, and a dead holder lets go.

    Hold it around write transactions. SQLite's own busy handler sleeps and tries again, so that of two busy writers
    one gets nearly every turn (99:1 was measured); in the kernel's queue they share evenly. Not reentrant.
    """

    def __init__(self, path: str) -> None:
        self._path = f"{path}-lock"
        self._descriptor: int | None = None
        self._threads = threading.Lock()

    def __enter__(self) -> None:
        self._threads.acquire()
        try:
            if self._descriptor is None:
                self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
            _lock(self._descriptor)
        except BaseException as error:
            self._threads.release()
            if isinstance(error, OSError):
                raise _from_os(error, self._path) from error
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        self._threads.release()

    def close(self) -> None:
        """Let go of the lock's file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _lock(descriptor: int) -> None:
    """Wait for the lock in the kernel; among greenlets in a thread, so that the others go on.

    One of them may be what holds it: then nobody would ever come to let go.
    """
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None or not monkey.is_module_patched("threading"):
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        import gevent

        gevent.get_hub().threadpool.apply(fcntl.flock, (descriptor, fcntl.LOCK_EX))


class Transaction:
    """A write transaction: begun when its turn has come, committed at the end or rolled back by an exception.

    A class with two methods rather than a generator: two nested generators made a single `.delay` dearer by 3 us.
    """

    __slots__ = ("_connection", "_lock", "_path")

    def __init__(self, path: str, connection: sqlite3.Connection, lock: FileLock) -> None:
        self._path = path
        self._connection = connection
        self._lock = lock

    def __enter__(self) -> sqlite3.Connection:
        self._lock.__enter__()
        try:
            self._connection.execute("begin immediate")
        except BaseException as error:
            self._lock.__exit__(None, None, None)
            if isinstance(error, _DRIVERS):
                raise _translated(error, self._path) from error
            raise
        return self._connection

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._connection.execute("commit")
        except _DRIVERS as failure:
            raise _translated(failure, self._path) from failure
        finally:
            try:
                if self._connection.in_transaction:
                    self._connection.execute("rollback")
            finally:
                self._lock.__exit__(None, None, None)
        if isinstance(error, _DRIVERS):
            raise _translated(error, self._path) from error
