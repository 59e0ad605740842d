"""What a source gives: slices of records, the bad ones apart, and the position to go on from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import msgspec

#: Of a bad record, this many characters are kept.
RAW_CHARACTERS = 10_000
_LONGEST_CHARACTER = 4  # bytes


class Bad(msgspec.Struct, frozen=True):
    """A record that can't be read: the line it starts on (from 1), its text (cut at 10,000 characters), and why."""

    line: int
    raw: str
    reason: str


class Position(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where to go on reading; a value to be stored, with msgspec in any format. `Position()` is the start.

    `offset` is in bytes of the uncompressed stream, `line` counts from 1. `fingerprint` tells whether it is still the
    same file: the number of bytes at its start that were hashed, a dash, and their BLAKE2b. `header` holds the
    columns of a CSV file; `closed` says that the end of a JSON array has been read.
    """

    offset: int = 0
    line: int = 1
    fingerprint: str = ""
    format: str = ""
    header: tuple[str, ...] = ()
    closed: bool = False


class Slice(msgspec.Struct, frozen=True):
    """The next records of a source, and where the following slice starts.

    `lines` has the line (from 1, of the uncompressed file) that each of `records` starts on. A slice may be empty
    before the end, say over blank lines: only `end` says that nothing follows.
    """

    records: list[dict[str, Any]]
    lines: list[int]
    bad: list[Bad]
    position: Position
    end: bool


class Page(msgspec.Struct):
    """A slice in the making."""

    records: list[dict[str, Any]]
    lines: list[int]
    bad: list[Bad]
    end: bool = False

    @classmethod
    def empty(cls) -> Page:
        """A page with nothing on it yet."""
        return cls([], [], [])

    def __len__(self) -> int:
        return len(self.records) + len(self.bad)

    def add(self, record: dict[str, Any], line: int) -> None:
        """Put a good record on the page."""
        self.records.append(record)
        self.lines.append(line)

    def reject(self, line: int, raw: bytes | bytearray, reason: str) -> None:
        """Put a bad record on the page; what is not UTF-8 in `raw` shows as U+FFFD."""
        text = raw[: RAW_CHARACTERS * _LONGEST_CHARACTER].decode("utf-8", "replace")
        self.bad.append(Bad(line, text[:RAW_CHARACTERS], reason))


class Reader(ABC):
    """One format: turns the bytes of a source into pages. `line` is the one that the next record starts on or after."""

    line: int
    header: tuple[str, ...] = ()
    closed: bool = False

    @abstractmethod
    def read(self, max_records: int, max_bytes: int) -> Page:
        """The next page: at most `max_records`, and about `max_bytes` of text, but at least one record if any is left."""
