"""What the sinks of databases with columns share: taking records apart by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from penstock.core.text import shown
from penstock.errors import PayloadError, SinkError

#: What msgspec does not take in the name of a field, and what stands for it.
_AWKWARD = {code: chr(0x2400 + code) for code in range(32)} | {ord('"'): "\u201d", ord("\\"): "\u29f5"}
_raw_items = msgspec.msgpack.Decoder(list[msgspec.Raw])
_record = msgspec.msgpack.Decoder(dict[str, Any])


def labels(names: Sequence[str]) -> dict[str, str]:
    """By column, a name that msgspec takes: the column's own wherever that goes."""
    found: dict[str, str] = {}
    taken = set(names)
    for name in names:
        label = name.translate(_AWKWARD)
        while label != name and label in taken:
            label += "_"
        taken.add(label)
        found[name] = label
    return found


def raw_records(payload: bytes) -> list[msgspec.Raw]:
    """The records of a payload, undecoded; raises `PayloadError`."""
    try:
        return _raw_items.decode(payload)
    except (ValueError, RecursionError) as error:
        raise PayloadError(f"the payload is no msgpack array of records: {error}") from error


def record_of(item: msgspec.Raw, known: dict[str, Any]) -> dict[str, Any]:
    """One record, all of whose fields are known; raises `ValueError` or `RecursionError` otherwise."""
    record = _record.decode(item)
    for name in record:
        if name not in known:
            raise ValueError(f"the table has no column for the field {name!r}")
    return record


def kinds_of(
    table: str, sample: Iterable[dict[str, Any]], key: Sequence[str], kind: Callable[[object], str]
) -> dict[str, set[str]]:
    """By column, the kinds of the values that records have in it; raises `SinkError` where no table with that key can be made of them."""
    kinds: dict[str, set[str]] = {}
    for record in sample:
        for name, value in record.items():
            kinds.setdefault(name, set()).add(kind(value))
    if not kinds:
        raise SinkError(f"no column for table {table!r} can be told: the first records are empty")
    missing = [name for name in key if name not in kinds]
    if missing:
        raise SinkError(f"the key of table {table!r} names {shown(', '.join(missing))}, which the first records lack")
    return kinds
