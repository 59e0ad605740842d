"""Finding the rows of a batch that a database refuses, while the others go in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from penstock.errors import RowRejected

T = TypeVar("T")


def bisect(
    write: Callable[[Sequence[T]], None], rows: Sequence[T], error: type[Exception] = RowRejected
) -> list[tuple[int, str]]:
    """Write all the rows that can be written, in their order, and tell which can't.

    One bad row among n costs about 2 log2(n) writes; 2 or 3, where the database tells which it was. A half whose
    sibling went in whole must be the one that holds the bad row, so it is halved without being tried; a single row is
    always tried, for the reason.

    Parameters:
        write: writes all the rows it is given, or none and raises `error`. Any other exception passes through.
        error: what `write` raises when a row is to blame. Its attribute `index`, where it has one, is a guess which.

    Returns:
        The index in `rows` and the reason of each row that was refused, ascending.
    """
    refused: list[tuple[int, str]] = []

    def attempt(start: int, stop: int) -> tuple[bool, int | None]:
        try:
            write(rows[start:stop])
        except error as reason:
            if stop - start == 1:
                refused.append((start, str(reason)))
            guess = getattr(reason, "index", None)
            return False, None if guess is None or guess >= stop - start else start + guess
        return True, None

    # A stack, not recursion: (start, stop, known to hold a bad row).
    pending = [(0, len(rows), False)] if rows else []
    while pending:
        start, stop, suspect = pending.pop()
        single = stop - start == 1
        if single or not suspect:
            good, bad = attempt(start, stop)
            if good or single:
                continue
            if bad is not None:
                pending += [*_beyond(bad, start, stop), (bad, bad + 1, False)]
                pending += [(start, bad, False)] if bad > start else []
                continue
        middle = (start + stop) // 2
        known, _ = attempt(start, middle)
        pending.append((middle, stop, known))
        if not known and middle - start > 1:
            pending.append((start, middle, True))
    return refused


def _beyond(bad: int, start: int, stop: int) -> list[tuple[int, int, bool]]:
    """The parts after a bad row, the last one first; small where bad rows are dense, so that few are sent in vain."""
    parts: list[tuple[int, int, bool]] = []
    size = max(1, bad - start)
    first = bad + 1
    while first < stop:
        parts.append((first, min(stop, first + size), False))
        first += size
        size *= 2
    return parts[::-1]
