"""Finding what is to blame in a batch that was refused, while the rest goes through."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

from penstock.errors import RowRejected

T = TypeVar("T")

#: Yields the spans to try, (first, end), and is sent what a try raised, or None where it went well.
Search = Generator[tuple[int, int], Exception | None, None]


def search(count: int) -> Search:
    """Which parts of a batch to try so that all that is good goes through, in order, and each bad one is tried alone.

    One bad among n costs about 2 log2(n) tries; 2 or 3, where the error tells which it was, in an attribute `index`. A half
    whose sibling went through whole must be the one that holds the bad one, so it is halved without being tried; a
    single one is always tried, for the reason.
    """
    # A stack, not recursion: (start, stop, known to hold a bad one).
    pending = [(0, count, False)] if count else []
    while pending:
        start, stop, suspect = pending.pop()
        single = stop - start == 1
        if single or not suspect:
            error = yield start, stop
            if error is None or single:
                continue
            guess = getattr(error, "index", None)
            if guess is not None and guess < stop - start:
                bad = start + guess
                pending += [*_beyond(bad, start, stop), (bad, bad + 1, False)]
                pending += [(start, bad, False)] if bad > start else []
                continue
        middle = (start + stop) // 2
        known = (yield start, middle) is None
        pending.append((middle, stop, known))
        if not known and middle - start > 1:
            pending.append((start, middle, True))


def bisect(
    write: Callable[[Sequence[T]], None], rows: Sequence[T], error: type[Exception] = RowRejected
) -> list[tuple[int, str]]:
    """Write all the rows that can be written, in their order, and tell which can't.

    Parameters:
        write: writes all the rows it is given, or none and raises `error`. Any other exception passes through.
        error: what `write` raises when a row is to blame. Its attribute `index`, where it has one, is a guess which.

    Returns:
        The index in `rows` and the reason of each row that was refused, ascending.
    """
    refused: list[tuple[int, str]] = []
    spans = search(len(rows))
    outcome: Exception | None = None
    while True:
        try:
            start, stop = spans.send(outcome)
        except StopIteration:
            return refused
        try:
            write(rows[start:stop])
            outcome = None
        except error as reason:
            if stop - start == 1:
                refused.append((start, str(reason)))
            outcome = reason


def _beyond(bad: int, start: int, stop: int) -> list[tuple[int, int, bool]]:
    """The parts after a bad one, the last one first; small where bad ones are dense, so that few are sent in vain."""
    parts: list[tuple[int, int, bool]] = []
    size = max(1, bad - start)
    first = bad + 1
    while first < stop:
        parts.append((first, min(stop, first + size), False))
        first += size
        size *= 2
    return parts[::-1]
