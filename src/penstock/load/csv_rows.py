"""CSV with a header line, as RFC 4180 has it: commas, and quotes around what holds commas, quotes or line breaks."""

from __future__ import annotations

import csv
import io

from penstock.errors import SourceError
from penstock.load.blocks import Blocks, after_nth
from penstock.load.slices import Page, Reader

_UNFINISHED = "unexpected end of data"
_OPEN_QUOTE = "a quote is opened and never closed"


class CsvRows(Reader):
    """Reads rows into records of strings, by the header's names; an empty field is None.

    A row that can't be read, or has too few or too many fields, is rejected by its first line alone, and reading goes
    on with the next line: a stray quote does not swallow the good rows up to the next one.
    """

    def __init__(self, blocks: Blocks, line: int, header: tuple[str, ...] = ()) -> None:
        self._blocks = blocks
        self.line = line
        # A quote that is never closed is noticed here at the latest.
        csv.field_size_limit(max(csv.field_size_limit(), blocks.longest // 4))
        self.header = header or self._read_header()

    def read(self, max_records: int, max_bytes: int) -> Page:
        """See `Reader.read`."""
        page = Page.empty()
        while not self._take(page, max_records, max_bytes):
            # One row is longer than all that was asked for.
            self._blocks.fill()
            max_records, max_bytes = 2 * max_records, 2 * max_bytes
        page.end = self._blocks.exhausted()
        return page

    def _take(self, page: Page, max_lines: int, max_bytes: int) -> bool:
        """Read the rows that lie whole in so many lines; False when there is none yet."""
        found = self._blocks.lines(max_lines, max_bytes)
        if found is None:
            page.reject(self.line, self._blocks.discard_line(), f"longer than {self._blocks.longest:,} bytes")
            self.line += 1
            return True
        length, count = found
        if not length:
            return True
        whole = self._blocks.ended and length == len(self._blocks.data)
        chunk = _Chunk(self._blocks.data[:length], count, whole or length > self._blocks.longest)
        used = chunk.read(page, self.header, self.line)
        self._blocks.drop(chunk.size(used))
        self.line += used
        return used > 0

    def _read_header(self) -> tuple[str, ...]:
        name = self._blocks.name
        lines = 1
        while True:
            found = self._blocks.lines(lines, self._blocks.longest)
            if found is None or found[0] > self._blocks.longest:
                raise SourceError(f"{name} is no CSV with a header (its first line has no end): name its format")
            length, count = found
            text = self._text(length)
            try:
                row = next(csv.reader(io.StringIO(text, newline="\n"), strict=True), [])
            except csv.Error as error:
                if str(error) != _UNFINISHED or not (length < len(self._blocks.data) or self._blocks.fill()):
                    raise SourceError(
                        f"{name} has no CSV header that can be read ({error}): repair its first line"
                    ) from error
                lines += 1
                continue
            if not row and not length:
                raise SourceError(f"{name} is empty: a CSV file needs a header line")
            self._blocks.drop(length)
            self.line += count
            if row:
                return self._checked(row)
            lines = 1

    def _text(self, length: int) -> str:
        try:
            return self._blocks.data[:length].decode()
        except UnicodeDecodeError as error:
            name = self._blocks.name
            raise SourceError(f"{name} is not UTF-8: convert it first, with iconv -f LATIN1 -t UTF-8 say") from error

    def _checked(self, row: list[str]) -> tuple[str, ...]:
        for number, column in enumerate(row, 1):
            if not column.strip():
                raise SourceError(f"column {number} of {self._blocks.name} has no name in the header: give it one")
            if row.index(column) != number - 1:
                raise SourceError(
                    f"column {column!r} is twice in the header of {self._blocks.name}: rename one of them"
                )
        return tuple(row)


class _Chunk:
    """Some whole lines of a file; `final` when a row that does not end in them has no end."""

    def __init__(self, data: bytearray, count: int, final: bool) -> None:
        self._data = data
        self._count = count
        self._final = final
        try:
            self._text = data.decode()
            self._clean = True
        except UnicodeDecodeError:
            self._text = data.decode("utf-8", "surrogateescape")
            self._clean = False
        self._lines = io.StringIO(self._text, newline="\n")

    def size(self, lines: int) -> int:
        """The bytes of the first so many lines."""
        if lines == self._count:
            return len(self._data)
        return after_nth(self._data, 0, len(self._data), lines) if lines else 0

    def read(self, page: Page, header: tuple[str, ...], first: int) -> int:
        """Put the rows on the page; returns how many lines they took. `first` is the number of the first line."""
        done = 0
        while done < self._count:
            taken, reason = self._run(page, header, first, done)
            done += taken
            if reason is None:
                break
            if reason == _UNFINISHED:
                if not self._final:
                    break
                reason = _OPEN_QUOTE
            self._lines.seek(self._mark)
            line = self._lines.readline()
            page.reject(first + done, line.rstrip("\r\n").encode("utf-8", "surrogateescape"), reason)
            done += 1
        return done

    def _run(self, page: Page, header: tuple[str, ...], first: int, done: int) -> tuple[int, str | None]:
        """Read rows until one is wrong: the lines of the good ones, and the reason; None at the chunk's end."""
        lines, width, clean = self._lines, len(header), self._clean
        records, numbers = page.records, page.lines
        reader = csv.reader(lines, strict=True)
        taken, number = 0, first + done
        self._mark = lines.tell()
        try:
            for row in reader:
                if len(row) == width and (clean or _is_utf8(row)):
                    fields = [field or None for field in row] if "" in row else row
                    records.append(dict(zip(header, fields, strict=True)))
                    numbers.append(number + taken)
                elif row:
                    return taken, f"{width} fields expected, got {len(row)}" if _is_utf8(row) else "not UTF-8"
                taken = reader.line_num
                self._mark = lines.tell()
        except csv.Error as error:
            return taken, str(error)
        return taken, None


def _is_utf8(row: list[str]) -> bool:
    try:
        "".join(row).encode()
    except UnicodeEncodeError:
        return False
    return True
