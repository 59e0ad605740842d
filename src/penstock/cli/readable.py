"""Times, durations and arguments in words, and the JSON form of jobs and workers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from penstock.core import handing
from penstock.core.codec import decode_value
from penstock.core.ids import format_id
from penstock.core.job import JobRecord
from penstock.core.packed import Packed
from penstock.core.sealed import unsealed
from penstock.core.text import shown
from penstock.core.topics import opened
from penstock.errors import PayloadError

_LONGEST_TEXT = 200
_LONGEST_BYTES = 16
_LONGEST_LIST = 20
_UNITS = (("d", 86400.0), ("h", 3600.0), ("min", 60.0))


class Arguments(msgspec.Struct, frozen=True):
    """What a job carries, as far as it can be read.

    `values` are the arguments in the order of the parameters; for a packed row, one such list for each of its items. Those of an
    event's job are the event alone.
    """

    values: list[Any] | None = None
    first: int = 0
    problem: str | None = None


def iso(at: float | None) -> str | None:
    """Epoch seconds as ISO 8601 in UTC."""
    if at is None:
        return None
    try:
        return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return None


def moment(at: float) -> str:
    """Epoch seconds as local time, and how long ago or ahead that is."""
    try:
        local = datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return f"{at:g} s after 1970"
    return f"{local} ({ago(at)})"


def ago(at: float) -> str:
    """How far epoch seconds are from now."""
    past = time.time() - at
    return f"{duration(past)} ago" if past >= 0 else f"in {duration(-past)}"


def duration(seconds: float) -> str:
    """Seconds in the unit that suits them."""
    for name, size in _UNITS:
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {name}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def rough(number: int) -> str:
    """An estimate, as exact as it may be taken for."""
    return f"~{round(number, 3 - len(str(number))):,}"


def arguments(record: JobRecord) -> Arguments:
    """Decode a job's arguments without its task."""
    payload = unsealed(record.payload)
    try:
        if record.packed:
            packed: Packed[list[Any]] = decode_value(payload, Packed[list[Any]])
            return Arguments(packed.items, packed.number(0) if packed.items else 0)
        event = opened(payload)
        if event is not None:
            return Arguments([decode_value(event.content)])
        values = handing.own(payload) if handing.takes_results(payload) else decode_value(payload)
    except (PayloadError, IndexError, ValueError) as error:
        return Arguments(problem=f"{len(record.payload):,} bytes that can't be decoded: {error}")
    if not isinstance(values, list):
        return Arguments(problem=f"not a list of arguments: {readable(values)}")
    return Arguments(values)


def topic(record: JobRecord) -> str | None:
    """The topic of an event's job."""
    event = None if record.packed else opened(unsealed(record.payload))
    return None if event is None else event.topic


def call(values: Sequence[Any], names: Sequence[str] | None) -> str:
    """Arguments as they would be written in a call."""
    if not isinstance(values, (list, tuple)) or names is None or len(names) < len(values):
        return ", ".join(map(readable, values)) if isinstance(values, (list, tuple)) else readable(values)
    return ", ".join(f"{name}={readable(value)}" for name, value in zip(names, values, strict=False))


def readable(value: Any, depth: int = 0) -> str:
    """A value on one line; what is long is shortened."""
    match value:
        case str():
            quoted = msgspec.json.encode(value[:_LONGEST_TEXT].encode("utf-8", "replace").decode()).decode()
            rest = f"… ({len(value):,} characters)" if len(value) > _LONGEST_TEXT else ""
            return shown(quoted) + rest
        case bytes():
            rest = "…" if len(value) > _LONGEST_BYTES else ""
            return f"<{len(value):,} bytes{': ' if value else ''}{value[:_LONGEST_BYTES].hex()}{rest}>"
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
        case list() | tuple() | dict() if depth > 5:
            return "…"
        case list() | tuple():
            items = [readable(each, depth + 1) for each in value[:_LONGEST_LIST]]
            return f"[{', '.join(items + _rest(len(value)))}]"
        case dict():
            pairs = [f"{readable(k)}: {readable(v, depth + 1)}" for k, v in list(value.items())[:_LONGEST_LIST]]
            return f"{{{', '.join(pairs + _rest(len(value)))}}}"
        case datetime():
            return value.isoformat()
        case _:
            return shown(str(value), _LONGEST_TEXT)


def _rest(length: int) -> list[str]:
    return [f"… ({length:,})"] if length > _LONGEST_LIST else []


def plain(value: Any, depth: int = 0) -> Any:
    """A decoded value with nothing in it that JSON has no place for."""
    match value:
        case dict() if depth < 100:
            return {
                key if isinstance(key, str) else readable(key): plain(each, depth + 1) for key, each in value.items()
            }
        case list() | tuple() if depth < 100:
            return [plain(each, depth + 1) for each in value]
        case msgspec.msgpack.Ext():
            return {"code": value.code, "data": bytes(value.data)}
        case None | bool() | int() | float() | str() | bytes() | datetime():
            return value
        case _:
            return readable(value)


def job_fields(record: JobRecord) -> dict[str, Any]:
    """A job for programs, without what may be long: its arguments and its traceback."""
    failure = record.failure
    return {
        "id": format_id(record.id),
        "task": record.task,
        "topic": topic(record),
        "queue": record.queue,
        "state": record.state.value,
        "priority": record.priority,
        "attempt": record.attempt,
        "crashes": record.crashes,
        "created_at": iso(record.created_at),
        "run_at": iso(record.run_at),
        "ended_at": iso(record.ended_at),
        "unique": record.unique,
        "gate": record.gate,
        "worker": record.worker,
        "batch": None if record.batch is None else format_id(record.batch),
        "packed": record.packed,
        "items": record.items,
        "item": record.item,
        "failure": None if failure is None else {"kind": failure.kind, "message": failure.message},
    }
