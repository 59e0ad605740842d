"""The last lines that a process logged, in shared memory: what it said before it died."""

from __future__ import annotations

import logging
import struct
import time
from contextlib import suppress

#: Bytes of text that are kept.
SIZE = 8192
_POSITION = struct.Struct("Q")
#: Bytes of shared memory that it takes.
ROOM = _POSITION.size + SIZE
_LONGEST_LINE = SIZE // 4
#: Between two lines; UTF-8 text can't hold it.
_MARK = b"\xff"


class LastLines:
    """A ring of lines, each with the moment it was written.

    One thread at a time may write, as a logging handler's lock sees to; anyone may read, also when the writer is dead
    and its last line is torn.

    Parameters:
        memory: `ROOM` bytes, zeroes at first.
    """

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory

    def write(self, line: str) -> None:
        """Add a line, over the oldest."""
        text = line.encode("utf-8", "replace")
        if len(text) > _LONGEST_LINE:
            text = text[:_LONGEST_LINE] + b"..."
        record = b"%s%.6f %s" % (_MARK, time.monotonic(), text)
        (position,) = _POSITION.unpack_from(self._memory)
        start = position % SIZE
        first = min(len(record), SIZE - start)
        start += _POSITION.size
        self._memory[start : start + first] = record[:first]
        self._memory[_POSITION.size : _POSITION.size + len(record) - first] = record[first:]
        _POSITION.pack_into(self._memory, 0, position + len(record))

    def read(self, since: float = 0.0) -> list[str]:
        """The lines that are kept of those written after `since` (monotonic seconds), oldest first."""
        (position,) = _POSITION.unpack_from(self._memory)
        text = bytes(self._memory[_POSITION.size :])
        if position > SIZE:
            start = position % SIZE
            text = text[start:] + text[:start]
        else:
            text = text[:position]
        found = []
        # Before the first mark is what is left of a line that was written over.
        for record in text.split(_MARK)[1:]:
            at, _, line = record.partition(b" ")
            with suppress(ValueError):
                # What is written is rounded.
                if float(at) >= since - 1e-6:
                    found.append(line.decode("utf-8", "replace"))
        return found

    def close(self) -> None:
        """Let go of the memory."""
        self._memory.release()


class LastLinesHandler(logging.Handler):
    """Puts what a process logs into its last lines."""

    def __init__(self, lines: LastLines) -> None:
        super().__init__()
        self._lines = lines
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        try:
            self._lines.write(self.format(record))
        except Exception:  # noqa: BLE001
            self.handleError(record)
