"""From packed records to documents, each with an `_id` that a second delivery makes again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from typing import Any

import bson
import msgspec
from bson import ObjectId
from bson.errors import BSONError

from penstock.sinks.base import Rejected
from penstock.sinks.job_rows import places_of
from penstock.sinks.records import raw_records
from penstock.stores.mongodb import Document

#: What making BSON of a document can raise.
ENCODE_ERRORS = (BSONError, OverflowError, TypeError, ValueError, RecursionError)

_LARGEST_DOCUMENT = 16 << 20
_documents = msgspec.msgpack.Decoder(list[dict[str, Any]])
_document = msgspec.msgpack.Decoder(dict[str, Any])


class Row(msgspec.Struct, frozen=True, gc=False):
    """A document, and its index in the payload. `made` says that its `_id` is of the sink's own making."""

    index: int
    document: Document
    made: bool


def made_of_batch(id: bytes) -> Callable[[int], ObjectId]:
    """By the index of a document in its batch, the `_id` it always gets there."""
    base = blake2b(id, digest_size=9).digest()
    return lambda index: ObjectId(base + index.to_bytes(3, "big"))


def made_of_jobs(ids: Sequence[bytes]) -> Callable[[int], ObjectId]:
    """By the index of a document, the `_id` that is made of its job and of its place among the rows of that."""
    places = places_of(ids)
    bases = {id: blake2b(id, digest_size=9).digest() for id in set(ids)}
    return lambda index: ObjectId(bases[ids[index]] + places[index].to_bytes(3, "big"))


def decode(payload: bytes, made: Callable[[int], ObjectId], key: Sequence[str]) -> tuple[list[Row], list[Rejected]]:
    """The documents of a payload, and the records that are none; raises `PayloadError`.

    A document's `_id` is its own, or made of the key's fields, or what `made` gives for its index.
    """
    rejected: list[Rejected] = []
    try:
        found = list(enumerate(_documents.decode(payload)))
    except (ValueError, RecursionError):
        found = list(_one_by_one(payload, rejected))
    rows: list[Row] = []
    for index, document in found:
        if "_id" in document:
            bad = (
                [name for name in document["_id"] if name.startswith("$")] if isinstance(document["_id"], dict) else []
            )
            if bad:
                # The server would refuse it as well, but to ask for it would fail for all.
                rejected.append(Rejected(index, f"an _id can't have the field {bad[0]}"))
            else:
                rows.append(Row(index, document, made=False))
        elif key:
            missing = [name for name in key if document.get(name) is None]
            if missing:
                rejected.append(Rejected(index, f"no field {', '.join(missing)} to make the _id of"))
                continue
            document["_id"] = document[key[0]] if len(key) == 1 else {name: document[name] for name in key}
            rows.append(Row(index, document, made=False))
        else:
            document["_id"] = made(index)
            rows.append(Row(index, document, made=True))
    return rows, rejected


def _one_by_one(payload: bytes, rejected: list[Rejected]) -> Iterator[tuple[int, Document]]:
    for index, item in enumerate(raw_records(payload)):
        try:
            yield index, _document.decode(item)
        except (ValueError, RecursionError) as error:
            rejected.append(Rejected(index, str(error)))


def storable(rows: Sequence[Row]) -> tuple[list[Row], list[Rejected]]:
    """The rows that BSON can hold, and why it can't hold the others."""
    good: list[Row] = []
    rejected: list[Rejected] = []
    for row in rows:
        try:
            size = len(bson.encode(row.document))
        except ENCODE_ERRORS as error:
            rejected.append(Rejected(row.index, str(error)))
        else:
            if size <= _LARGEST_DOCUMENT:
                good.append(row)
            else:
                rejected.append(Rejected(row.index, f"{size:,} bytes, and a document may have {_LARGEST_DOCUMENT:,}"))
    return good, rejected


def mark_of(id: Any) -> Any:
    """What tells one `_id` from another, and can be a key of a dictionary."""
    if isinstance(id, dict | list):
        return bson.encode({"_id": id})
    return (isinstance(id, bool), id)
