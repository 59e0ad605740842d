"""A JSON array of objects, read as a stream."""

from __future__ import annotations

import re
from itertools import accumulate, islice, pairwise

from penstock.errors import SourceError
from penstock.load.blocks import BLOCK, Blocks
from penstock.load.json_record import DECODE_ERRORS, Unfit, decode_array, decode_record
from penstock.load.json_scan import bracketed, element_end, separated
from penstock.load.slices import Page, Reader

_SPACE = re.compile(rb"[ \t\r\n]*+")
_NEXT_OBJECT = re.compile(rb",[ \t\r\n]*+(?=\{)")
_RESYNC_TRIES = 100
#: How far the object after a broken element is followed, to see whether it is one.
_RESYNC_REACH = 1 << 16
_COMMA, _CLOSE, _OPEN, _BRACE = b",][{"


class JsonArray(Reader):
    """Reads elements: as many as are plainly separated in one call of the decoder, and one by one where that fails.

    A broken element is rejected, and reading goes on at its closing bracket or, where quotes or brackets do not
    match, at the next object that looks like the last good record. Missing and doubled commas are forgiven, and
    arrays that follow one another read as one.
    """

    def __init__(self, blocks: Blocks, line: int, *, inside: bool = False, closed: bool = False) -> None:
        self._blocks = blocks
        self._data = blocks.data
        self._at = 0
        self._inside = inside
        self._flat = True
        self._tangle = 0
        self._keys: frozenset[str] = frozenset()
        self.line = line
        self.closed = closed

    def read(self, max_records: int, max_bytes: int) -> Page:
        """See `Reader.read`."""
        page = Page.empty()
        start = self._blocks.offset
        while len(page) < max_records:
            used = self._blocks.offset + self._at - start
            if used >= max_bytes or (self._blocks.live and len(page) and not self._ready()):
                break
            if not self._at_element(page):
                page.end = True
                break
            if not self._many(page, max_records - len(page), max_bytes - used):
                self._one(page)
        self._blocks.drop(self._at)
        self._at = 0
        return page

    def _ready(self) -> bool:
        return element_end(self._data, self._at, final=False) is not None

    def _advance(self, to: int) -> None:
        self.line += self._data.count(b"\n", self._at, to)
        self._at = to

    def _peek(self) -> int | None:
        """The next byte that is not white space; None at the end."""
        while True:
            match = _SPACE.match(self._data, self._at)
            self._advance(match.end() if match else self._at)
            if self._at < len(self._data):
                return self._data[self._at]
            self._blocks.drop(self._at)
            self._at = 0
            if not self._blocks.fill():
                return None

    def _at_element(self, page: Page) -> bool:
        """Go to the next element; False at the end."""
        if not self._inside:
            self._enter()
        while (byte := self._peek()) is not None:
            if self.closed:
                self.closed = False
                if byte == _OPEN:
                    self._advance(self._at + 1)
                    continue
                page.reject(self.line, b"]", "text follows the end of the array")
            if byte == _CLOSE:
                self.closed = True
            elif byte != _COMMA:
                return True
            self._advance(self._at + 1)
        if not self.closed:
            page.reject(self.line, b"", "the file ends inside the array: it may be cut off")
            self.closed = True
        return False

    def _enter(self) -> None:
        if (byte := self._peek()) != _OPEN:
            found = "is empty" if byte is None else f"starts with {chr(byte)!r}"
            raise SourceError(
                f"{self._blocks.name} {found}, not with the [ of a JSON array: name its format, or repair it"
            )
        self._advance(self._at + 1)
        self._inside = True

    def _many(self, page: Page, count: int, size: int) -> bool:
        """Decode up to `count` objects in one call; False when it has to go one by one.

        Between two objects of the array there is always a separator, but what looks like one may also lie within a
        record. So the text up to a separator is a sequence of whole elements only if it decodes as one, and the
        separators in it are the bounds of the records only if there are just as many. Once that was not so, brackets
        are matched instead; a stretch that does not decode even then goes one by one.
        """
        here = self._blocks.offset + self._at
        if here < self._tangle or self._data[self._at] != _BRACE:
            return False
        if len(self._data) - self._at < BLOCK and not self._blocks.live:
            self._blocks.fill()
        find = separated if self._flat else bracketed
        starts, end = find(self._data, self._at, self._at + size, count)
        if not end:
            return False
        try:
            records = decode_array(b"[" + self._data[self._at : end] + b"]")
        except DECODE_ERRORS:
            records = []
        if len(records) != len(starts) - 1:
            if not self._flat:
                self._tangle = here + end - self._at
            self._flat = False
            return False
        if not self._flat:
            self._flat = separated(self._data, self._at, starts[-1] + 1, count)[0] == starts
        page.records += records
        page.lines += self._lines(starts)
        self._keys = frozenset(records[-1])
        self._advance(starts[-1])
        return True

    def _lines(self, starts: list[int]) -> list[int]:
        """The lines of all of `starts` but the last."""
        data = self._data
        if data.find(b"\n", self._at, starts[-1]) < 0:
            return [self.line] * (len(starts) - 1)
        steps = [data.count(b"\n", a, b) for a, b in pairwise(starts[:-1])]
        return list(accumulate(steps, initial=self.line))

    def _one(self, page: Page) -> None:
        """Take the element at hand, be it good or bad."""
        while True:
            end = element_end(self._data, self._at, final=self._blocks.ended)
            text = self._data[self._at : end]
            try:
                record = decode_record(text)
            except Unfit as error:
                if end is None and error.cut and self._grow():
                    continue
                self._reject(page, end, error)
                return
            page.add(record, self.line)
            self._keys = frozenset(record)
            self._advance(self._at + len(text))
            return

    def _grow(self) -> bool:
        """Double what is in the buffer; False when nothing more comes, or the record is too long."""
        size = len(self._data) - self._at
        if size > self._blocks.longest or not self._blocks.fill():
            return False
        while len(self._data) - self._at < 2 * size and not self._blocks.live and self._blocks.fill():
            pass
        return True

    def _reject(self, page: Page, end: int | None, error: Unfit) -> None:
        size = len(self._data) - self._at
        if error.cut and end is None and not self._blocks.ended and size > self._blocks.longest:
            start = self._data[self._at : self._at + BLOCK]
            page.reject(self.line, start, f"longer than {self._blocks.longest:,} bytes")
            self._discard()
            return
        if error.truncated and end is None:
            stop = len(self._data)
        elif error.whole and end is not None and self._follows(end):
            stop = end
        else:
            stop = self._resync(end)
        page.reject(self.line, self._data[self._at : min(stop, self._at + BLOCK)].rstrip(), str(error))
        self._advance(stop)

    def _follows(self, end: int) -> bool:
        """Whether the array goes on in order after `end`."""
        match = _SPACE.match(self._data, end)
        after = match.end() if match else end
        return after >= len(self._data) or self._data[after] in (_COMMA, _CLOSE)

    def _resync(self, end: int | None) -> int:
        """Where to go on after a broken element; `end` is its end as its brackets have it."""
        brackets_count = end is not None and self._data[self._at] in b"[{"
        while True:
            limit = end if brackets_count and end is not None else len(self._data)
            found = self._next_object(self._at, limit)
            if found is not None:
                return found
            if end is not None:
                return end
            if not self._grow():
                return len(self._data)

    def _next_object(self, start: int, limit: int) -> int | None:
        """The first object after `start` and before `limit` that looks like the last good record."""
        data = self._data
        starts = [match.end() for match in islice(_NEXT_OBJECT.finditer(data, start, limit), _RESYNC_TRIES)]
        for begin in starts:
            end = element_end(data[begin : begin + _RESYNC_REACH], 0, final=False)
            if end is None:
                continue
            try:
                keys = frozenset(decode_record(data[begin : begin + end]))
            except Unfit:
                continue
            if not self._keys or 2 * len(keys & self._keys) >= max(len(keys), len(self._keys)):
                return begin
        return None

    def _discard(self) -> None:
        """Drop the element at hand, which is too long to be kept, up to what looks like the next record."""
        while True:
            found = self._next_object(self._at + 1, len(self._data))
            if found is not None:
                self._advance(found)
                return
            keep = max(self._at, len(self._data) - _RESYNC_REACH)
            self._advance(keep)
            self._blocks.drop(keep)
            self._at = 0
            if not self._blocks.fill():
                self._advance(len(self._data))
                return
