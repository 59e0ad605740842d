"""Writes into a place until it is killed: `writing.py URL KEY HOW FIRST COUNT [jobs]`; prints each batch as it begins."""

import random
import sys

import msgspec

from penstock.sinks import open_sink
from penstock.sinks.base import OnConflict, Target, Written

ROWS = 200


def record(number: int) -> dict[str, object]:
    """A row; the last of each batch is bad."""
    place = number % ROWS
    return {"id": number, "n": -1 if place == ROWS - 1 else place, "note": f"b{number // ROWS}"}


def batch(number: int) -> bytes:
    """The rows of a batch."""
    return msgspec.msgpack.encode([record(number * ROWS + place) for place in range(ROWS)])


def write(url: str, key: tuple[str, ...], how: str, numbers: range) -> list[int]:
    """Write batches; returns how many rows of each went in."""
    with open_sink(url, Target("orders", OnConflict(how), key)) as sink:
        found = []
        for number in numbers:
            print(number, flush=True)
            found.append(sink.write(b"load%d" % number, batch(number)).rows)
        return found


def write_jobs(url: str, key: tuple[str, ...], how: str, numbers: range) -> list[Written]:
    """Write the rows of the same batches as single jobs, which come together anew each time.

    Jobs that no later program hands in again, those of three batches before, are said to have ended.
    """
    with open_sink(url, Target("orders", OnConflict(how), key)) as sink:
        found = []
        chance = random.Random()
        row, last = numbers.start * ROWS, numbers.stop * ROWS
        while row < last:
            print(row // ROWS, flush=True)
            rows = range(row, min(last, row + chance.randrange(1, 2 * ROWS)))
            payload = msgspec.msgpack.encode([record(number) for number in rows])
            ended = [job(number) for number in range(max(0, row - 4 * ROWS), max(0, row - 3 * ROWS))]
            found.append(sink.write_jobs([job(number) for number in rows], payload, ended=ended))
            row = rows.stop
        return found


def job(number: int) -> bytes:
    """The id of the job of a row."""
    return number.to_bytes(16, "big")


if __name__ == "__main__":
    _, place, columns, manner, first, count, *what = sys.argv
    program = write_jobs if what else write
    program(place, tuple(filter(None, columns.split(","))), manner, range(int(first), int(first) + int(count)))
