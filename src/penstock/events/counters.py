"""Figures of one process in shared memory: written by the process, read by its supervisor, also when it is dead.

Everything is a double in its own eight bytes, so that a reader needs no lock: what it sees is at worst a count behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from penstock.core.metrics import COUNTS, OTHERS, SECONDS, SIZES, CacheFigures, Figures, Histogram, TaskFigures

#: Pairs of a task and a queue that have figures of their own; those that come after share the last.
TASKS = 64
#: The same for caches.
CACHES = 16
_QUEUE_BYTES = 64
_TASK_BYTES = 128
_CACHE_BYTES = 64


class _Part(NamedTuple):
    """Where something is, in doubles from the start of its record."""

    start: int
    size: int

    @property
    def end(self) -> int:
        return self.start + self.size


def _histogram_at(start: int, bounds: Sequence[float]) -> _Part:
    # The buckets, the one above them, and the sum.
    return _Part(start, len(bounds) + 2)


_TASK_NAME = _Part(0, (_QUEUE_BYTES + _TASK_BYTES) // 8)
_COUNTS = _Part(_TASK_NAME.end, len(COUNTS))
RUNS = _histogram_at(_COUNTS.end, SECONDS)
BATCH_SIZES = _histogram_at(RUNS.end, SIZES)
CALLS = _histogram_at(BATCH_SIZES.end, SECONDS)
_TASK = CALLS.end
_CACHE_NAME = _Part(0, _CACHE_BYTES // 8)
_CACHE_VALUES = _Part(_CACHE_NAME.end, 5)
_CACHE = _CACHE_VALUES.end

_EXCHANGES = _histogram_at(0, SECONDS)
_FIRST_CACHE = _EXCHANGES.end
_FIRST_TASK = _FIRST_CACHE + CACHES * _CACHE
#: Bytes that the block takes. Only what is used of it takes memory.
ROOM = (_FIRST_TASK + TASKS * _TASK) * 8


class Counters:
    """The block. One thread at a time may write.

    Parameters:
        memory: `ROOM` bytes, zeroes at first.
    """

    def __init__(self, memory: memoryview) -> None:
        self._bytes = memory
        self._view = memory.cast("d")
        self._tasks: dict[tuple[str, str], int] = {}
        self._caches: dict[str, int] = {}

    def count(self, task: str, queue: str, index: int, number: float = 1.0) -> None:
        """Count something of a task's; see `COUNTS` for the index."""
        self._view[self._task(task, queue) + _COUNTS.start + index] += number

    def pile(self, task: str, queue: str, part: _Part, bucket: int, number: float, total: float) -> None:
        """Add values to a histogram of a task's: how many, in which bucket, and their sum."""
        self._pile(self._task(task, queue) + part.start, part, bucket, number, total)

    def exchanged(self, bucket: int, seconds: float) -> None:
        """An exchange with the store took so long."""
        self._pile(_EXCHANGES.start, _EXCHANGES, bucket, 1.0, seconds)

    def cached(self, name: str, done: Sequence[float], held: Sequence[float]) -> None:
        """Caches of a name did so much more (hits, misses, evictions), and hold so much now (items, bytes)."""
        view, start = self._view, self._cache(name) + _CACHE_VALUES.start
        for index, number in enumerate(done):
            view[start + index] += number
        for index, number in enumerate(held, len(done)):
            view[start + index] = number

    def read(self) -> Figures:
        """What has been counted. Safe from any thread and process."""
        tasks = []
        for start in range(_FIRST_TASK, _FIRST_TASK + TASKS * _TASK, _TASK):
            task = self._text(start, _QUEUE_BYTES, _TASK_BYTES)
            if not task:
                break
            queue, values = self._text(start, 0, _QUEUE_BYTES), self._view[start : start + _TASK].tolist()
            counts = tuple(values[_COUNTS.start : _COUNTS.end])
            tasks.append(
                TaskFigures(task, queue, counts, *(_read(values, part) for part in (RUNS, BATCH_SIZES, CALLS)))
            )
        caches = []
        for start in range(_FIRST_CACHE, _FIRST_TASK, _CACHE):
            name = self._text(start, 0, _CACHE_BYTES)
            if not name:
                break
            caches.append(CacheFigures(name, *self._view[start + _CACHE_VALUES.start : start + _CACHE].tolist()))
        exchanges = _read(self._view[: _EXCHANGES.end].tolist(), _EXCHANGES)
        return Figures(tuple(tasks), tuple(caches), exchanges=exchanges)

    def close(self) -> None:
        """Let go of the memory."""
        self._view.release()
        self._bytes.release()

    def _task(self, task: str, queue: str) -> int:
        """Where the record of a task is; the first use makes it."""
        start = self._tasks.get((task, queue))
        if start is None:
            number = len(self._tasks)
            if number >= TASKS - 1:
                # Not noted one by one: there may be ever more of them.
                number, task, queue = TASKS - 1, OTHERS, OTHERS
            start = _FIRST_TASK + number * _TASK
            if number < TASKS - 1:
                self._tasks[task, queue] = start
            self._name(start + _QUEUE_BYTES // 8, task, _TASK_BYTES)
            self._name(start, queue, _QUEUE_BYTES)
        return start

    def _cache(self, name: str) -> int:
        start = self._caches.get(name)
        if start is None:
            number = len(self._caches)
            if number >= CACHES - 1:
                number, name = CACHES - 1, OTHERS
            start = _FIRST_CACHE + number * _CACHE
            if number < CACHES - 1:
                self._caches[name] = start
            self._name(start, name, _CACHE_BYTES)
        return start

    def _name(self, start: int, name: str, room: int) -> None:
        text = name.encode("utf-8", "replace")[:room]
        self._bytes[start * 8 : start * 8 + len(text)] = text

    def _text(self, start: int, skipped: int, room: int) -> str:
        begin = start * 8 + skipped
        return bytes(self._bytes[begin : begin + room]).rstrip(b"\0").decode("utf-8", "ignore")

    def _pile(self, start: int, part: _Part, bucket: int, number: float, total: float) -> None:
        view = self._view
        view[start + bucket] += number
        view[start + part.size - 1] += total


def _read(values: Sequence[float], part: _Part) -> Histogram:
    counts = values[part.start : part.end - 1]
    end = max((n + 1 for n, count in enumerate(counts) if count), default=0)
    return Histogram(tuple(counts[:end]), values[part.end - 1]) if end else Histogram()
