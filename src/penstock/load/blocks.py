"""A window on a stream of bytes: grows at its end, is dropped from its start, and knows where it stands."""

from __future__ import annotations

from penstock.load.files import ByteFile

#: Bytes read at a time.
BLOCK = 1 << 18
_STEP = 1 << 16
_NEWLINE = b"\n"


class Blocks:
    """The buffer that readers work on.

    Parameters:
        longest: a record of more bytes than this is not gathered.

    Attributes:
        data: what has been read and not dropped yet.
        offset: of the first byte of `data`, in the uncompressed stream.
        ended: nothing follows `data`.
    """

    def __init__(self, file: ByteFile, longest: int) -> None:
        self.data = bytearray()
        self.offset = 0
        self.ended = False
        self.longest = longest
        self.live = file.live
        self._file = file

    @property
    def name(self) -> str:
        """What to call the source in a message."""
        return self._file.name

    def fill(self) -> bool:
        """Read one more block; False at the end."""
        block = b"" if self.ended else self._file.read(BLOCK)
        if not block:
            self.ended = True
            return False
        self.data += block
        return True

    def drop(self, count: int) -> None:
        """Forget the first `count` bytes."""
        del self.data[:count]
        self.offset += count

    def move(self, offset: int) -> bool:
        """Go forward to an offset; False when the stream ends before it."""
        ahead = offset - self.offset
        if ahead <= len(self.data):
            self.drop(ahead)
            return True
        ahead -= len(self.data)
        self.data.clear()
        self.offset = offset
        return self._file.skip(ahead)

    def exhausted(self) -> bool:
        """Whether nothing is left; on a live stream it may say no too early, so as not to wait."""
        if self.data:
            return False
        return self.ended or (not self.live and not self.fill())

    def consumed(self) -> int:
        """Bytes on disk that lie behind."""
        return self._file.consumed(len(self.data))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def lines(self, max_lines: int, max_bytes: int) -> tuple[int, int] | None:
        """The whole lines at the start of the buffer, which is filled as needed.

        Returns:
            Their length in bytes and their number: at most `max_lines`, and `max_bytes` unless the first line alone is
            longer; (0, 0) at the end. None when the first line is longer than `longest`.
        """
        count = scanned = 0
        data = self.data
        while True:
            stop = min(len(data), scanned + _STEP)
            if scanned < max_bytes:
                stop = min(stop, max_bytes)
            if stop == scanned:
                if (self.live and count) or not self.fill():
                    break
                continue
            found = data.count(_NEWLINE, scanned, stop)
            wanted = max_lines - count if scanned < max_bytes else 1
            if found >= wanted:
                return after_nth(data, scanned, stop, wanted), count + wanted
            count += found
            scanned = stop
            if count and scanned >= max_bytes:
                break
            if not count and scanned > self.longest:
                return None
        length = data.rfind(_NEWLINE, 0, scanned) + 1
        if self.ended and length < scanned == len(data):
            return (scanned, count + 1) if scanned <= max_bytes or not count else (length, count)
        return length, count

    def discard_line(self) -> bytes:
        """Drop the first line, however long it is; returns the start of it."""
        start = bytes(self.data[:_STEP])
        while (end := self.data.find(_NEWLINE)) < 0:
            self.drop(len(self.data))
            if not self.fill():
                return start
        self.drop(end + 1)
        return start


def after_nth(data: bytearray, start: int, stop: int, n: int) -> int:
    """The index after newline number `n` (from 1) of data[start:stop], which must hold so many.

    Halving with `count` costs two passes at the speed of memchr, much less than a step in Python for each line.
    """
    while stop - start > 256:
        middle = (start + stop) // 2
        found = data.count(_NEWLINE, start, middle)
        if found >= n:
            stop = middle
        else:
            n -= found
            start = middle
    for _ in range(n):
        start = data.index(_NEWLINE, start, stop) + 1
    return start
