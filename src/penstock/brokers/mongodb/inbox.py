"""Jobs that programs of any language ask for, by inserting a document: `{task: "shop.send", args: [...], kwargs: {...}}`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any
from uuid import UUID

import bson
import msgspec
from bson.binary import UUID_SUBTYPE, Binary
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.decimal128 import Decimal128
from bson.errors import BSONError
from bson.objectid import ObjectId
from bson.raw_bson import RawBSONDocument

from penstock.brokers.mongodb.documents import LARGEST, document
from penstock.brokers.mongodb.gates import lines_of
from penstock.brokers.mongodb.intents import ADOPTED
from penstock.brokers.mongodb.layout import Layout
from penstock.brokers.mongodb.plan import Plan
from penstock.brokers.mongodb.storing import Storing, distinct
from penstock.core.job import DEFAULT_PRIORITY, DEFAULT_QUEUE, PRIORITIES, Failure, NewJob
from penstock.core.text import storable
from penstock.stores.mongodb import Document

_STRICT: CodecOptions[Document] = CodecOptions(tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_AUTO)
_LENIENT: CodecOptions[Document] = _STRICT.with_options(unicode_decode_error_handler="replace")
_RAW = CodecOptions(
    document_class=RawBSONDocument,
    unicode_decode_error_handler="replace",
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)
_HELPING = 500
_DEEPEST = 100
_FIELDS = "task args kwargs queue priority delay run_at unique at_most_once".split()
_LATEST = 1e11
_VERSION_AND_VARIANT = (7 << 76) | (2 << 62)


class Malformed(Exception):
    """A message that can't become a job; says why."""


class Inbox:
    """The inbox of one namespace, emptied by whatever worker looks first."""

    def __init__(self, layout: Layout, storing: Storing) -> None:
        self._layout = layout
        self._storing = storing
        self._raw = layout.inbox.with_options(codec_options=_RAW)

    def empty(self, now: Callable[[], float]) -> bool:
        """Make the oldest messages jobs, each once, whoever else does so and wherever it is killed; were there any?"""
        messages = [found["_id"] for found in self._raw.find({ADOPTED: None}, {"_id": 1}).limit(_HELPING)]
        if not messages:
            return False
        moment = now()
        adopted: list[NewJob] = []

        def plan(token: str, _: set[bytes]) -> Plan:
            # Read again: by now they are ours.
            found = [job_of(bytes(one.raw)) for one in self._raw.find({ADOPTED: token})]
            adopted.extend(self._storing.gates.limited(job) for job in found)
            first = self._layout.next_places(len(adopted)) if adopted else 0
            births = [document(job, first + n, moment) for n, job in enumerate(adopted)]
            return Plan(births=distinct(births), inbox=True)

        self._storing.intents.carry_out(self._storing.name, [], plan, messages)
        self._storing.gates.open(lines_of(adopted))
        self._storing.ring()
        return bool(adopted)


def job_of(raw: bytes) -> NewJob:
    """The job that a message asks for; a malformed one's is a dead letter that says why."""
    message: Document = {}
    try:
        message = bson.decode(raw, codec_options=_LENIENT)
        message = bson.decode(raw, codec_options=_STRICT)
        return _asked_for(message)
    except (Malformed, BSONError, TypeError, ValueError, OverflowError, RecursionError) as error:
        task = message.get("task")
        return NewJob(
            id=_id_of(message.get("_id")),
            task=storable(task) if isinstance(task, str) and task else "inbox",
            payload=_shown(message),
            failure=Failure("Malformed", f"a message in the inbox: {error}"),
            dead=True,
        )


def _asked_for(message: Mapping[str, Any]) -> NewJob:
    unknown = [name for name in message if name not in _FIELDS and name not in {"_id", ADOPTED}]
    if unknown:
        raise Malformed(f"it has {', '.join(map(repr, unknown))}, and may have {', '.join(_FIELDS)}")
    task = _text(message, "task")
    if not task:
        raise Malformed('it has no "task", which names a function as "package.module.function"')
    priority = message.get("priority", DEFAULT_PRIORITY)
    if isinstance(priority, bool) or not isinstance(priority, int | float) or priority not in PRIORITIES:
        raise Malformed(f'"priority" is a whole number from 0 to 9, not {priority!r}')
    once = message.get("at_most_once", False)
    if not isinstance(once, bool):
        raise Malformed(f'"at_most_once" is true or false, not {once!r}')
    args, kwargs = message.get("args", []), message.get("kwargs", {})
    if not isinstance(args, list):
        raise Malformed(f'"args" is an array, not {type(args).__name__}')
    if not isinstance(kwargs, Mapping):
        raise Malformed(f'"kwargs" is a document, not {type(kwargs).__name__}')
    payload = msgspec.json.encode({"args": plain(args), "kwargs": plain(kwargs)})
    if len(payload) > LARGEST:
        raise Malformed(f"its arguments have {len(payload):,} bytes as JSON, and may have {LARGEST:,}")
    return NewJob(
        id=_id_of(message.get("_id")), task=task, payload=payload, queue=_text(message, "queue") or DEFAULT_QUEUE,
        priority=int(priority), delay=_seconds(message, "delay"), run_at=_moment(message), unique=_text(message, "unique"),
        at_most_once=once,
    )  # fmt: skip


def _text(message: Mapping[str, Any], name: str) -> str | None:
    value = message.get(name)
    if value is None or isinstance(value, str):
        return value
    raise Malformed(f'"{name}" is text, not {type(value).__name__}')


def _seconds(message: Mapping[str, Any], name: str) -> float | None:
    value = message.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _LATEST:
        raise Malformed(f'"{name}" is a number of seconds, 0 or more, not {value!r}')
    return float(value)


def _moment(message: Mapping[str, Any]) -> float | None:
    value = message.get("run_at")
    if isinstance(value, datetime):
        return value.timestamp()
    return _seconds(message, "run_at")


def plain(value: Any, depth: int = 0) -> Any:
    """What JSON can say of a value: ids and decimals as text, dates by ISO 8601, bytes by base64.

    Raises:
        Malformed: it can say nothing of it.
    """
    if depth > _DEEPEST:
        raise Malformed(f"its arguments are nested more than {_DEEPEST} deep")
    match value:
        case None | bool() | datetime():
            return value
        case str() if type(value) is str:
            return value
        case float():
            if math.isfinite(value):
                return value
        case int():
            return int(value)
        case Mapping():
            return {name: plain(one, depth + 1) for name, one in value.items()}
        case list():
            return [plain(one, depth + 1) for one in value]
        case Binary() if value.subtype == UUID_SUBTYPE and len(value) == 16:
            return UUID(bytes=bytes(value))
        case bytes():
            return bytes(value)
        case ObjectId() | Decimal128():
            return str(value)
    raise Malformed(f"its arguments have a {type(value).__name__} ({str(value)[:40]}), which JSON has no word for")


def _shown(message: Mapping[str, Any]) -> bytes:
    """A malformed message, as far as it can be shown."""
    shown: dict[str, Any] = {}
    for name, value in message.items():
        if name == ADOPTED:
            continue
        try:
            shown[storable(name)] = plain(value)
        except (Malformed, RecursionError):
            shown[storable(name)] = storable(repr(value)[:1000])
    payload = msgspec.json.encode(shown)
    return payload if len(payload) <= LARGEST else b"{}"


def _id_of(id: Any) -> bytes:
    """The id of the job that a message becomes: always the same one, and in the order of ids where it tells the time."""
    digest = blake2b(bson.encode({"_id": id}), digest_size=16, person=b"penstock").digest()
    random = int.from_bytes(digest, "big")
    moment = int(id.generation_time.timestamp()) * 1000 if isinstance(id, ObjectId) else 0
    tail = random & ((1 << 62) - 1)
    middle = (random >> 62 & 0xFFF) << 64
    return (moment << 80 | _VERSION_AND_VARIANT | middle | tail).to_bytes(16, "big")


__all__: Sequence[str] = ("Inbox", "Malformed", "job_of", "plain")
