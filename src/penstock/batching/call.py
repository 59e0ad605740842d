"""One call for many items: what became of each. Whoever drives it makes the calls; it only says with which items."""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Sequence
from typing import Any

import msgspec

from penstock.core.bisect import search
from penstock.core.transient import is_transient
from penstock.errors import BatchError, PayloadError, TaskError


class Fate(msgspec.Struct, frozen=True):
    """What became of an item: the call that it was part of returned, or raised for it, or left it out.

    Parameters:
        value: what the call returned for it.
        error: what was raised for it.
        skipped: it was in no call that went through, since an earlier item with its key failed.
    """

    value: Any = None
    error: BaseException | None = None
    skipped: bool = False


#: Yields the indexes of the items to call with, and is sent what the call returned, or thrown what it raised.
Calls = Generator[Sequence[int], Any, list[Fate]]

_DONE = Fate()
_SKIPPED = Fate(skipped=True)


def fates(count: int, key: Callable[[int], Hashable] | None = None) -> Calls:
    """Call with all items at once and, where that fails for what is in them, with parts, until each that is to blame is known.

    An error that tells of the other side or of the time (see `penstock.core.transient`) is not looked into: it is the error of
    every item that is not done.

    Parameters:
        count: of the items.
        key: of an item by its index; of items with equal keys, none is called with after one that failed.
    """
    found: list[Fate | None] = [None] * count
    failed: set[Hashable] = set()
    spans, raised = search(count), None
    while True:
        try:
            start, stop = spans.send(raised)
        except StopIteration:
            break
        raised = None
        part = range(start, stop) if key is None else [i for i in range(start, stop) if key(i) not in failed]
        if not part:
            continue
        try:
            value = yield part
        except BatchError as error:
            _settle(found, part, _split(error, len(part)))
        except BaseException as error:  # noqa: BLE001
            if is_transient(error) or not isinstance(error, Exception):
                whole = Fate(error=error)
                return [whole if fate is None else fate for fate in found]
            raised = error
            if len(part) == 1:
                found[part[0]] = Fate(error=error)
        else:
            _settle(found, part, _values(value, len(part)))
        if key is not None:
            failed.update(key(i) for i in part if (fate := found[i]) is not None and fate.error is not None)
    return [_SKIPPED if fate is None else fate for fate in found]


def _settle(found: list[Fate | None], part: Sequence[int], fates: Sequence[Fate]) -> None:
    for index, fate in zip(part, fates, strict=True):
        found[index] = fate


def _split(error: BatchError, count: int) -> list[Fate]:
    """The fates that a batch task tells of itself."""
    strange = next((index for index in error.errors if index not in range(count)), None)
    if strange is not None:
        # Of which items it is true nobody knows, and some of them may have failed.
        wrong = Fate(error=PayloadError(f"BatchError names items by their index, 0 to {count - 1}, not {strange!r}"))
        return [wrong] * count
    return [_DONE if (its := error.errors.get(index)) is None else _failed(its) for index in range(count)]


def _failed(error: object) -> Fate:
    """The fate of an item for which a batch task has named an error, or its words."""
    return Fate(error=error if isinstance(error, BaseException) else TaskError(str(error)))


def _values(value: Any, count: int) -> list[Fate]:
    """The fates of a call that returned: a list has one value for each item, and an exception in it is that item's error."""
    if not isinstance(value, (list, tuple)):
        return [_DONE] * count
    if len(value) != count:
        # They did run: another run would only repeat what they did.
        wrong = Fate(
            error=PayloadError(
                f"a list of {len(value)} came back for {count} items: return one value for each, or none"
            )
        )
        return [wrong] * count
    return [Fate(error=each) if isinstance(each, Exception) else Fate(each) for each in value]
