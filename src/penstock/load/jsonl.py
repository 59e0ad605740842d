"""JSON Lines: one object a line."""

from __future__ import annotations

from penstock.load.blocks import Blocks
from penstock.load.json_record import DECODE_ERRORS, Unfit, decode_lines, decode_record
from penstock.load.slices import Page, Reader

_SEAMS = (b"}\n{", b"}\r\n{")


class JsonLines(Reader):
    """Reads lines: a whole block in one call of the decoder, and line by line only where that fails."""

    def __init__(self, blocks: Blocks, line: int) -> None:
        self._blocks = blocks
        self.line = line

    def read(self, max_records: int, max_bytes: int) -> Page:
        """See `Reader.read`."""
        page = Page.empty()
        found = self._blocks.lines(max_records, max_bytes)
        if found is None:
            start = self._blocks.discard_line()
            page.reject(self.line, start, f"longer than {self._blocks.longest:,} bytes")
            self.line += 1
        else:
            length, count = found
            text = self._blocks.data[:length]
            self._blocks.drop(length)
            if not self._together(text, count, page):
                self._one_by_one(text, page)
            self.line += count
        page.end = self._blocks.exhausted()
        return page

    def _together(self, text: bytearray, count: int, page: Page) -> bool:
        """Decode all at once, when the text is plainly one object a line.

        The decoder takes any white space between records, and in them. But a line break between `}` and `{` can only
        stand between two records, so when all the line breaks do, and there are as many records as lines, each line
        holds one.
        """
        try:
            records = decode_lines(text)
        except DECODE_ERRORS:
            return False
        if len(records) != count or not any(text.count(seam) == count - 1 for seam in _SEAMS):
            return False
        page.records = records
        page.lines = list(range(self.line, self.line + count))
        return True

    def _one_by_one(self, text: bytearray, page: Page) -> None:
        for number, line in enumerate(text.split(b"\n"), self.line):
            if not line or line.isspace():
                continue
            try:
                page.add(decode_record(line), number)
            except Unfit as error:
                page.reject(number, line.rstrip(b"\r"), str(error))
