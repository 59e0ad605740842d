"""From packed records to what COPY takes: binary where every value is of its column's type, else text.

Text is what PostgreSQL reads any value from, and judges: what it refuses, it refuses in its own words. Whatever is taken
as binary means the same as text, so that a record's fate does not hang on its neighbours in the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from types import GenericAlias
from typing import Annotated, Any, NamedTuple
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType
from msgspec.structs import astuple

from penstock.sinks.base import Rejected
from penstock.sinks.postgres.columns import Column
from penstock.sinks.records import labels, raw_records, record_of

Row = tuple[Any, ...]

_LARGEST_REAL = 3.4028234663852886e38
_TEXT = (str, "text")
#: By the name of a column's type: what the decoder takes for it, and the type whose binary form is sent.
_BINARY: dict[str, tuple[Any, str]] = {
    "int2": (Annotated[int, Meta(ge=-(2**15), lt=2**15)], "int2"),
    "int4": (Annotated[int, Meta(ge=-(2**31), lt=2**31)], "int4"),
    "int8": (Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)], "int8"),
    "float4": (Annotated[float, Meta(ge=-_LARGEST_REAL, le=_LARGEST_REAL)], "float4"),
    "float8": (float, "float8"),
    "numeric": (Decimal, "numeric"),
    "bool": (bool, "bool"),
    "text": _TEXT,
    "varchar": _TEXT,
    "bpchar": _TEXT,
    "citext": _TEXT,
    "enum": _TEXT,
    # As the bytes of its binary form, which are made here: psycopg's own way took three times as long.
    "json": (Any, "bytea"),
    "jsonb": (Any, "bytea"),
    "uuid": (UUID, "uuid"),
    "bytea": (bytes, "bytea"),
    "date": (date, "date"),
    "time": (Annotated[time, Meta(tz=False)], "time"),
    "timestamp": (Annotated[datetime, Meta(tz=False)], "timestamp"),
    "timestamptz": (Annotated[datetime, Meta(tz=True)], "timestamptz"),
}
_WHOLE = frozenset({"int2", "int4", "int8"})
#: What stands before the text in the binary form.
_JSON = {"json": b"", "jsonb": b"\x01"}


class _Form(NamedTuple):
    """A way to decode records. Those columns in `mixed` take any value, which is then written as text."""

    decoder: msgspec.msgpack.Decoder[list[msgspec.Struct]]
    mixed: list[int]


class Batch(msgspec.Struct, frozen=True):
    """Decoded rows, the index of each in the payload, and the records that are no row; `types` for binary ones."""

    rows: list[Row]
    indexes: Sequence[int]
    rejected: list[Rejected]
    types: list[str] | None

    def without(self, ids: Sequence[bytes], known: Collection[bytes]) -> Batch:
        """The same, but the rows of jobs that are known; `ids` has the job of each record in the payload."""
        if not known:
            return self
        left = [place for place, index in enumerate(self.indexes) if ids[index] not in known]
        rows, indexes = [self.rows[place] for place in left], [self.indexes[place] for place in left]
        return Batch(rows, indexes, self.rejected, self.types)


class Rows:
    """Decodes records for the columns of one table.

    A field that is missing is NULL, or left to the column's default where it has one: such a value is `UNSET`.

    Parameters:
        partial: a field that is missing is `UNSET` in every column: what is there is to stay.
    """

    def __init__(self, columns: Sequence[Column], *, partial: bool) -> None:
        self.names = [column.name for column in columns]
        self.optional = [index for index, column in enumerate(columns) if partial or column.has_default]
        self._missing = {column.name: UNSET if partial or column.has_default else None for column in columns}
        self._labels = labels(self.names)
        self._texts = [_text_of(column) for column in columns]
        self._types: list[str] = []
        self._kinds: list[Any] = []
        self._json = [(index, _JSON[column.type]) for index, column in enumerate(columns) if column.type in _JSON]
        #: The first serves nearly always; the last takes what it does not.
        self._forms: list[_Form] = []
        if all(column.type in _BINARY and not column.is_array for column in columns) and (
            list(self._labels) == list(self._labels.values())
        ):
            kinds = [_BINARY[column.type] for column in columns]
            self._types = [sent for _, sent in kinds]
            self._kinds = [kind for kind, _ in kinds]
            self._forms = [self._mixed([])]
            texts = [index for index, kind in enumerate(kinds) if kind is _TEXT]
            if texts:
                self._forms.append(self._mixed(texts))

    def decode(self, payload: bytes) -> Batch:
        """The rows of a payload; raises `PayloadError`."""
        for form in self._forms:
            try:
                rows: list[Row] = [astuple(row) for row in form.decoder.decode(payload)]
                if form is self._forms[-1] and form is not self._forms[0]:
                    self._widen(rows)
                if self._json or form.mixed:
                    rows = [self._written(row, form.mixed) for row in rows]
            except (ValueError, TypeError, RecursionError):
                continue
            return Batch(rows, range(len(rows)), [], self._types)
        return self._as_text(payload)

    def _mixed(self, columns: list[int]) -> _Form:
        """The form in which these columns take any value."""
        kinds = [Any if index in columns else kind for index, kind in enumerate(self._kinds)]
        return _Form(self._typed(kinds), columns)

    def _widen(self, rows: Sequence[Row]) -> None:
        """Have the first form take these rows as well, and no more: each column that takes any value costs every row."""
        plain = (str, type(None), UnsetType)
        first, last = self._forms[0], self._forms[-1]
        found = [index for index in last.mixed if not all(isinstance(row[index], plain) for row in rows)]
        self._forms = [self._mixed(sorted({*first.mixed, *found})), last]

    def _written(self, row: Row, mixed: Sequence[int]) -> Row:
        """With what is no plain value in its written form."""
        values = list(row)
        for index, head in self._json:
            value = values[index]
            if value is not None and value is not UNSET:
                values[index] = head + json_of(value)
        for index in mixed:
            value = values[index]
            if type(value) is not str and value is not UNSET:
                values[index] = _text(value)
        return tuple(values)

    def _as_text(self, payload: bytes) -> Batch:
        batch = Batch([], indexes := [], [], None)
        for index, item in enumerate(raw_records(payload)):
            try:
                record = record_of(item, self._labels)
                row = tuple(
                    text(record[name]) if name in record else missing
                    for text, (name, missing) in zip(self._texts, self._missing.items(), strict=True)
                )
            except (ValueError, TypeError, RecursionError) as error:
                batch.rejected.append(Rejected(index, str(error)))
            else:
                batch.rows.append(row)
                indexes.append(index)
        return batch

    def _typed(self, types: Sequence[Any]) -> msgspec.msgpack.Decoder[list[msgspec.Struct]]:
        fields: list[tuple[str, Any, Any]] = []
        for index, (kind, missing) in enumerate(zip(types, self._missing.values(), strict=True)):
            optional: Any = kind if kind is Any else kind | None
            if missing is UNSET and kind is not Any:
                optional = optional | UnsetType
            fields.append((f"c{index}", optional, missing))
        rename = {f"c{index}": label for index, label in enumerate(self._labels.values())}
        row = msgspec.defstruct("Row", fields, rename=rename, forbid_unknown_fields=True, gc=False)
        rows: Any = GenericAlias(list, (row,))
        return msgspec.msgpack.Decoder(rows)


def json_of(value: Any) -> bytes:
    """A value as JSON; text that is an object or an array in JSON already, as from a CSV file, stays as it is."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        text = value.encode()
        try:
            msgspec.json.decode(text)
        except (ValueError, RecursionError):
            pass
        else:
            return text
    return msgspec.json.encode(value)


def _text_of(column: Column) -> Callable[[Any], str | None]:
    """How values are written for a column, in PostgreSQL's own text."""
    if column.is_array:
        return lambda value: _array(value) if isinstance(value, list) else _text(value)
    if column.type in _JSON:
        return lambda value: None if value is None else json_of(value).decode()
    if column.type in _WHOLE:
        # 4.0 is a whole number in JSON.
        return lambda value: str(int(value)) if isinstance(value, float) and value.is_integer() else _text(value)
    return _text


def _text(value: Any) -> str | None:
    match value:
        case None | str():
            return value
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case bytes():
            return f"\\x{value.hex()}"
        case datetime():
            return value.isoformat()
        case msgspec.msgpack.Ext():
            raise TypeError(f"a msgpack extension (code {value.code}) can't be stored")
        case _:
            return msgspec.json.encode(value).decode()


def _array(value: Any) -> str:
    if isinstance(value, list):
        return "{" + ",".join(_array(item) for item in value) + "}"
    text = _text(value)
    if text is None:
        return "NULL"
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
