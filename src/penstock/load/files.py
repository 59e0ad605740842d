"""The uncompressed bytes of a file, a gzipped file or standard input."""

from __future__ import annotations

import gzip
import io
import os
import stat
import sys
import zlib
from typing import BinaryIO

from penstock.errors import SourceError

STDIN = "-"
_GZIP_MAGIC = b"\x1f\x8b"
_BZIP2 = {b"BZh%d1AY&SY" % level: "packed with bzip2" for level in range(1, 10)}
_OTHER_PACKINGS = _BZIP2 | {
    b"PK\x03\x04": "a zip archive",
    b"\xfd7zXZ": "packed with xz",
    b"\x28\xb5\x2f\xfd": "packed with zstd",
    b"PAR1\x15": "a Parquet file",
    b"SQLite format 3\x00": "a SQLite database",
}


class ByteFile:
    """A readable stream of bytes; what goes wrong comes out as a `SourceError` of one line.

    `size` is in bytes on disk, None where there is no telling. `live` says that more may come later: reads are then
    as short as what has come.
    """

    def __init__(self, path: str, stdin: BinaryIO | None = None) -> None:
        self.name = "standard input" if path == STDIN else path
        self._delivered = 0
        self._failure: SourceError | None = None
        try:
            self._raw = _stdin(stdin) if path == STDIN else io.BufferedReader(io.FileIO(path))
            self.size, self.live = self._measure(path)
            start = self._peek()
        except (OSError, ValueError) as error:
            raise self._error(error) from error
        self._check_packing(start)
        self._gzip: gzip.GzipFile | None = None
        if start.startswith(_GZIP_MAGIC):
            self._gzip = gzip.GzipFile(fileobj=self._raw, mode="rb")
        elif path.endswith(".gz") and start:
            self.close()
            raise SourceError(f"{path} is named .gz but is not gzipped: rename it, or pack it again")

    def _measure(self, path: str) -> tuple[int | None, bool]:
        if path == STDIN:
            return None, True
        status = os.fstat(self._raw.fileno())
        regular = stat.S_ISREG(status.st_mode)
        return (status.st_size if regular else None), not regular

    def _peek(self) -> bytes:
        peek = getattr(self._raw, "peek", None)
        start: bytes = peek(16)[:16] if peek is not None else b""
        return start

    def _check_packing(self, start: bytes) -> None:
        for magic, packing in _OTHER_PACKINGS.items():
            if start.startswith(magic):
                self.close()
                raise SourceError(
                    f"{self.name} is {packing}: turn it into JSON Lines, a JSON array or CSV (or one of them, gzipped)"
                )

    def read(self, count: int) -> bytes:
        """Up to `count` bytes, b"" at the end; fewer only at the end or on a live stream."""
        if self._failure is not None:
            raise self._failure
        parts: list[bytes] = []
        wanted = count
        try:
            while wanted:
                part = self._read_some(wanted)
                if not part:
                    break
                parts.append(part)
                wanted -= len(part)
                if self.live:
                    break
        except (OSError, EOFError, zlib.error, ValueError) as error:
            failure = self._error(error)
            if not parts:
                raise failure from error
            self._failure = failure
        data = b"".join(parts)
        self._delivered += len(data)
        return data

    def _read_some(self, count: int) -> bytes:
        if self._gzip is not None:
            return self._gzip.read1(count)
        read1 = getattr(self._raw, "read1", self._raw.read)
        data: bytes = read1(count)
        return data

    def skip(self, count: int) -> bool:
        """Go `count` bytes on; False when there are not so many."""
        if self._gzip is None and self.size is not None:
            try:
                self._raw.seek(self._delivered + count)
            except OSError as error:
                raise self._error(error) from error
            self._delivered += count
            return self._delivered <= os.fstat(self._raw.fileno()).st_size
        while count:
            data = self.read(min(count, 1 << 20))
            if not data:
                return False
            count -= len(data)
        return True

    def consumed(self, unread: int) -> int:
        """Bytes on disk behind what has been read, less the `unread` ones that wait in a buffer."""
        if self._gzip is not None and self.size is not None:
            return self._raw.tell()
        return self._delivered - unread

    def close(self) -> None:
        """Close the file; standard input stays open."""
        if self.name != "standard input":
            self._raw.close()

    def _error(self, error: Exception) -> SourceError:
        name = self.name
        if isinstance(error, FileNotFoundError):
            return SourceError(f"there is no file {name}: check the path")
        if isinstance(error, IsADirectoryError):
            return SourceError(f"{name} is a folder: name a file in it")
        if isinstance(error, PermissionError):
            return SourceError(f"{name} may not be read by this user: give it read permission")
        if isinstance(error, EOFError):
            return SourceError(
                f"{name} is cut off inside its gzip data: fetch it again, then run the same command to go on"
            )
        if isinstance(error, gzip.BadGzipFile | zlib.error):
            return SourceError(
                f"{name} holds damaged gzip data ({error}): fetch it again, then run the same command to go on"
            )
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return SourceError(
            f"{name} can't be read ({reason}): check the disk and the path, then run the same command to go on"
        )


def _stdin(given: BinaryIO | None) -> BinaryIO:
    if given is not None:
        return given
    if sys.stdin is None:
        raise SourceError("there is no standard input: name a file, or pipe one in")
    return sys.stdin.buffer
