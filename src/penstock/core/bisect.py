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

    One bad row among n costs about 2 log2(n) writes. A half whose sibling went in whole must be the one that holds
    the bad row, so it is halved without being tried; a single row is always tried, for the reason.

    Parameters:
        write: writes all the rows it is given, or none and raises `error`. Any other exception passes through.
        error: what `write` raises when a row is to blame.

    Returns:
        The index in `rows` and the reason of each row that was refused, ascending.
    """
    refused: list[tuple[int, str]] = []

    def attempt(start: int, stop: int) -> bool:
        try:
            write(rows[start:stop])
        except error as reason:
            if stop - start == 1:
                refused.append((start, str(reason)))
            return False
        return True

    # A stack, not recursion: (start, stop, known to hold a bad row).
    pending = [(0, len(rows), False)] if rows else []
    while pending:
        start, stop, suspect = pending.pop()
        single = stop - start == 1
        if (single or not suspect) and (attempt(start, stop) or single):
            continue
        middle = (start + stop) // 2
        known = attempt(start, middle)
        pending.append((middle, stop, known))
        if not known and middle - start > 1:
            pending.append((start, middle, True))
    return refused
