"""From packed records to the rows of a SQLite table, in one typed call of the decoder where that goes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from types import GenericAlias
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import astuple

from penstock.sinks.base import Rejected
from penstock.sinks.records import labels, raw_records, record_of
from penstock.sinks.sqlite.columns import Column

Row = tuple[Any, ...]

_LOOSE: Any = str | int | float | bool | None
#: What the decoder takes for a column, by its affinity. Whatever else a loose one holds goes one by one.
_TYPES: dict[str, Any] = {"INTEGER": int | bool | None, "REAL": float | None, "TEXT": str | None}
_PLAIN = frozenset({str, int, float, bool, type(None), UnsetType})


class Rows:
    """Decodes records for the columns of one table.

    A field that is missing is NULL, or left to the column's default where it has one: such a value is `UNSET`. A
    field that is no column, or a value of the wrong type, rejects its record. Nested values become JSON text.

    All records of a batch are decoded in one call. Where that fails they are taken one by one, at several times the
    cost; columns that turn out to hold nested values are open to them in the next batch's one call.

    Parameters:
        partial: a field that is missing is `UNSET` in every column: what is there is to stay.
    """

    def __init__(self, columns: Sequence[Column], *, partial: bool = False) -> None:
        if partial:
            columns = [Column(column.name, column.declared, has_default=True) for column in columns]
        self.names = [column.name for column in columns]
        self.defaulted = [index for index, column in enumerate(columns) if column.has_default]
        self._labels = labels(self.names)
        self._plain_names = list(self._labels) == list(self._labels.values())
        self._columns = columns
        self._open: set[int] = set()
        self._list = self._decoder()
        types = [_TYPES.get(column.affinity, _LOOSE) for column in columns]
        loose = [
            kind if column.affinity in ("INTEGER", "REAL") else Any for column, kind in zip(columns, types, strict=True)
        ]
        self._struct = self._row_type(columns, loose)
        self._any = [index for index, kind in enumerate(loose) if kind is Any]

    def decode(self, payload: bytes) -> tuple[list[Row], list[int], list[Rejected]]:
        """The rows, the index of each in the payload, and the records that are no row; raises `PayloadError`."""
        if self._plain_names:
            try:
                rows = [astuple(row) for row in self._list.decode(payload)]
                if self._open:
                    rows = [self._flattened(row) for row in rows]
            except (ValueError, TypeError, RecursionError):
                pass
            else:
                return rows, list(range(len(rows))), []
        known = len(self._open)
        taken = self._one_by_one(payload)
        if len(self._open) > known:
            self._list = self._decoder()
        return taken

    def _flattened(self, row: Row) -> Row:
        values = list(row)
        for index in self._open:
            values[index] = _flat(values[index])
        return tuple(values)

    def _one_by_one(self, payload: bytes) -> tuple[list[Row], list[int], list[Rejected]]:
        rows: list[Row] = []
        indexes: list[int] = []
        rejected: list[Rejected] = []
        for index, item in enumerate(raw_records(payload)):
            try:
                rows.append(self._row(item))
            except (ValueError, TypeError, RecursionError) as error:
                rejected.append(Rejected(index, str(error)))
            else:
                indexes.append(index)
        return rows, indexes, rejected

    def _row(self, item: msgspec.Raw) -> Row:
        record = record_of(item, self._labels)
        labelled = {self._labels[name]: value for name, value in record.items()}
        values = list(astuple(msgspec.convert(labelled, self._struct, strict=False)))
        for index in self._any:
            if type(values[index]) not in _PLAIN:
                self._open.add(index)
                values[index] = _flat(values[index])
        return tuple(values)

    def _row_type(self, columns: Sequence[Column], types: Sequence[Any]) -> type[msgspec.Struct]:
        fields: list[tuple[str, Any, Any]] = []
        for index, (column, kind) in enumerate(zip(columns, types, strict=True)):
            if column.has_default:
                fields.append((f"c{index}", kind | UnsetType if kind is not Any else Any, UNSET))
            else:
                fields.append((f"c{index}", kind, None))
        rename = {f"c{index}": label for index, label in enumerate(self._labels.values())}
        return msgspec.defstruct("Row", fields, rename=rename, forbid_unknown_fields=True, gc=False)

    def _decoder(self) -> msgspec.msgpack.Decoder[list[msgspec.Struct]]:
        types = [
            Any if index in self._open else _TYPES.get(column.affinity, _LOOSE)
            for index, column in enumerate(self._columns)
        ]
        rows: Any = GenericAlias(list, (self._row_type(self._columns, types),))
        return msgspec.msgpack.Decoder(rows, strict=False)


def _flat(value: Any) -> Any:
    """What SQLite can hold for a value: itself, or text."""
    if isinstance(value, dict | list):
        return msgspec.json.encode(value).decode()
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, msgspec.msgpack.Ext):
        raise TypeError(f"a msgpack extension (code {value.code}) can't be stored")
    return value
