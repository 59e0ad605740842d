"""Writes batches into a place until it is killed: `writing.py URL KEY HOW FIRST COUNT`; prints each as it begins."""

import sys

import msgspec

from penstock.sinks import open_sink
from penstock.sinks.base import OnConflict, Target

ROWS = 200


def batch(number: int) -> bytes:
    """The rows of a batch; the last of them is bad."""
    first = number * ROWS
    records = [{"id": first + n, "n": n, "note": f"b{number}"} for n in range(ROWS)]
    records[-1]["n"] = -1
    return msgspec.msgpack.encode(records)


def write(url: str, key: tuple[str, ...], how: str, numbers: range) -> list[int]:
    """Write batches; returns how many rows of each went in."""
    with open_sink(url, Target("orders", OnConflict(how), key)) as sink:
        found = []
        for number in numbers:
            print(number, flush=True)
            found.append(sink.write(b"load%d" % number, batch(number)).rows)
        return found


if __name__ == "__main__":
    _, place, columns, manner, first, count = sys.argv
    write(place, tuple(filter(None, columns.split(","))), manner, range(int(first), int(first) + int(count)))
