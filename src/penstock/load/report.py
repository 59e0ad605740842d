"""Each record's success or error, by its `task_id`: the file read once more, beside what was refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from penstock.load.plan import Plan
from penstock.load.sources import Source

_SLICE_RECORDS = 10_000
_SLICE_BYTES = 4 << 20


class Line(msgspec.Struct, frozen=True):
    """One record of the report; `error` is None where the record went well."""

    task_id: Any
    line: int
    error: str | None


def key_of(line: int, task_id: Any) -> tuple[int, str]:
    """What tells one record from another: many may start on one line, as in an array without line breaks."""
    return line, repr(task_id)


def report(plan: Plan, refused: Mapping[tuple[int, str], str]) -> Iterator[Line]:
    """The records of a file that have a `task_id`, in the file's order.

    Parameters:
        refused: why, by `key_of` the record.
    """
    with Source.open(plan.source, format=plan.format) as source:
        end = False
        while not end:
            slice = source.read(_SLICE_RECORDS, _SLICE_BYTES)
            end = slice.end
            for record, line in zip(slice.records, slice.lines, strict=True):
                if "task_id" in record:
                    yield Line(record["task_id"], line, refused.get(key_of(line, record["task_id"])))
