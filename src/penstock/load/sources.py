"""A file of records: opened, told apart by its format, read in slices, and gone on with after a stop."""

from __future__ import annotations

import codecs
import os
from hashlib import blake2b
from types import TracebackType
from typing import BinaryIO, Self

from penstock.errors import SourceError
from penstock.load.blocks import Blocks
from penstock.load.csv_rows import CsvRows
from penstock.load.files import STDIN, ByteFile
from penstock.load.json_array import JsonArray
from penstock.load.jsonl import JsonLines
from penstock.load.slices import Bad, Position, Reader, Slice

__all__ = ["FORMATS", "Bad", "Position", "Slice", "Source"]

#: JSON Lines, a JSON array, CSV with a header.
FORMATS = ("jsonl", "json", "csv")
#: A longer record than this is rejected, unless `Source.open` is told otherwise.
LONGEST = 16 << 20
_BY_EXTENSION = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv"}
_HEAD = 1 << 16
_WIDE_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, b"\x00\x00\xfe\xff")


class Source:
    """A file of records, read in slices.

    Parameters of `open`:
        path: of a plain or gzipped file, or `-` for standard input.
        format: one of `FORMATS`; None tells by the file's name and its first byte that is not blank.
        position: where an earlier reading had got to.
        longest: a record of more bytes than this is rejected without being read whole.
        stdin: what to read for `-`, if not the process's own standard input.

    Raises:
        SourceError: the file can't be read, is not the one of `position`, or has no known format; one line, which
            says what to do next. Reading raises it too.
    """

    def __init__(self, blocks: Blocks, reader: Reader, position: Position, size: int | None) -> None:
        self._blocks = blocks
        self._reader = reader
        self._position = position
        self.size = size

    @classmethod
    def open(
        cls,
        path: str,
        *,
        format: str | None = None,
        position: Position | None = None,
        longest: int = LONGEST,
        stdin: BinaryIO | None = None,
    ) -> Self:
        """Open a source at its start or at a position; see the class."""
        if format is not None and format not in FORMATS:
            raise SourceError(f"there is no format {format!r}: name one of {', '.join(FORMATS)}")
        start = position or Position()
        file = ByteFile(path, stdin)
        try:
            blocks = Blocks(file, longest)
            start = _begin(blocks, start) if start.offset == 0 else _go_on(blocks, start)
            chosen = format or start.format or _format_of(path, blocks)
            reader = _reader(chosen, blocks, start)
        except BaseException:
            file.close()
            raise
        position = Position(
            blocks.offset, reader.line, start.fingerprint, chosen, header=reader.header, closed=start.closed
        )
        return cls(blocks, reader, position, file.size)

    @property
    def position(self) -> Position:
        """Where the next slice starts."""
        return self._position

    def read(self, max_records: int, max_bytes: int) -> Slice:
        """The next slice: at most `max_records`, and about `max_bytes` of text, but at least one record if any is left.

        After an error the source can't be read on; open it again at the last position.
        """
        page = self._reader.read(max(max_records, 1), max(max_bytes, 1))
        old = self._position
        self._position = Position(
            self._blocks.offset, self._reader.line, old.fingerprint, old.format, old.header, self._reader.closed
        )
        return Slice(page.records, page.lines, page.bad, self._position, page.end)

    def consumed(self) -> int:
        """Bytes on disk that have been read, of `size`; for a gzipped file, those of it that were unpacked."""
        return self._blocks.consumed()

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._blocks.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _begin(blocks: Blocks, start: Position) -> Position:
    blocks.fill()
    head = bytes(blocks.data[:_HEAD])
    if _is_wide(head):
        raise SourceError(f"{blocks.name} is not UTF-8: convert it first, with iconv -f UTF-16 -t UTF-8 say")
    if head.startswith(codecs.BOM_UTF8):
        blocks.drop(len(codecs.BOM_UTF8))
    return Position(fingerprint=_fingerprint(head), format=start.format)


def _is_wide(head: bytes) -> bool:
    """Whether the text is UTF-16 or UTF-32: has its mark, or a zero in every second byte."""
    sample = head[:64]
    return head.startswith(_WIDE_MARKS) or (len(sample) >= 4 and not (any(sample[::2]) and any(sample[1::2])))


def _go_on(blocks: Blocks, start: Position) -> Position:
    length = int(start.fingerprint.partition("-")[0] or 0)
    while len(blocks.data) < length and blocks.fill():
        pass
    if start.fingerprint and _fingerprint(bytes(blocks.data[:length])) != start.fingerprint:
        raise SourceError(
            f"{blocks.name} has changed since reading began: put the first one back, or start the load anew"
        )
    if not blocks.move(start.offset):
        raise SourceError(
            f"{blocks.name} has become shorter since reading began: put the first one back, or start the load anew"
        )
    return start


def _fingerprint(head: bytes) -> str:
    return f"{len(head)}-{blake2b(head, digest_size=16).hexdigest()}"


def _format_of(path: str, blocks: Blocks) -> str:
    base, extension = os.path.splitext(path.lower())
    if extension == ".gz":
        extension = os.path.splitext(base)[1]
    if extension in _BY_EXTENSION:
        return _BY_EXTENSION[extension]
    first = _first_byte(blocks)
    if first == b"[" or (extension == ".json" and first != b"{"):
        return "json"
    if first in (b"{", b""):
        return "jsonl"
    if not first.isascii() or first.isalnum() or first in b"_\"'#$@-+.*%&/(<>,;|!?:=~":
        return "csv"
    name = "-" if path == STDIN else path
    raise SourceError(f"{name} starts with {first!r}, which no known format does: name one of {', '.join(FORMATS)}")


def _first_byte(blocks: Blocks) -> bytes:
    while not (start := blocks.data.lstrip()):
        if len(blocks.data) > blocks.longest or not blocks.fill():
            return b""
    return bytes(start[:1])


def _reader(format: str, blocks: Blocks, start: Position) -> Reader:
    if format == "jsonl":
        return JsonLines(blocks, start.line)
    if format == "json":
        return JsonArray(blocks, start.line, inside=start.offset > 0, closed=start.closed)
    return CsvRows(blocks, start.line, start.header)
