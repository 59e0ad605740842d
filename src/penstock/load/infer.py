"""What the text fields of a CSV file stand for, judged by a sample: a table made from it should know numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

# A leading zero or plus sign makes it a code or a telephone number, which would not survive as a number.
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,17})\Z")
_REAL = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?\Z")


def with_numbers(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records with each column of nothing but numbers as numbers; empty fields stay None."""
    names = dict.fromkeys(name for record in records for name in record)
    kinds = {name: _kind([record.get(name) for record in records]) for name in names}
    return [
        {name: value if value is None else kinds[name](value) for name, value in record.items()} for record in records
    ]


def _kind(values: Sequence[Any]) -> Callable[[Any], Any]:
    texts = [value for value in values if value is not None]
    if texts and all(_WHOLE.match(text) for text in texts):
        return int
    if texts and all(_REAL.match(text) for text in texts):
        return float
    return str
