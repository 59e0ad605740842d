"""Packed rows: one stored row that carries the arguments of many items.

The payload is a msgpack array `[items, first, numbers]`: the items are encoded arguments, `first` is the number of the
first item where they are numbered without gaps, and `numbers` has every number where they are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Generic, TypeVar

import msgspec

T = TypeVar("T")

#: Items in a packed row, at most. Rows of 1,000 took SQLite out of the measurement; larger ones only cost memory.
ROW_ITEMS = 1000


#: A number that every store can hold, whatever is added to it in a row.
Number = Annotated[int, msgspec.Meta(ge=0, lt=2**62)]


class Packed(msgspec.Struct, Generic[T], array_like=True, frozen=True):
    """What a packed row carries."""

    items: list[T]
    first: Number = 0
    numbers: list[Number] | None = None

    def number(self, index: int) -> int:
        """The number of the item at an index."""
        return self.first + index if self.numbers is None else self.numbers[index]

    def rest(self, index: int) -> Packed[T]:
        """The part from an index on."""
        if self.numbers is None:
            return Packed(self.items[index:], self.first + index)
        return Packed(self.items[index:], 0, self.numbers[index:])


_encoder = msgspec.msgpack.Encoder()


def pack(items: Sequence[Any], numbers: Sequence[int]) -> bytes:
    """The payload of a packed row."""
    first = numbers[0] if numbers else 0
    gapless = not numbers or numbers[-1] - first == len(numbers) - 1
    return _encoder.encode((items, first, None if gapless else list(numbers)))


def repack(packed: Packed[Any]) -> bytes:
    """The payload of what is left of a packed row."""
    return _encoder.encode(packed)


def row_size(count: int, workers: int) -> int:
    """Items to a row for `count` items, so that each of `workers` gets several rows, but none more than ROW_ITEMS."""
    return max(1, min(ROW_ITEMS, -(-count // (workers * 4))))


def rows(count: int, size: int) -> Iterator[range]:
    """The ranges of indexes that rows of `size` items cover."""
    return (range(start, min(start + size, count)) for start in range(0, count, size))
