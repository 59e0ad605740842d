"""The writes of rows into a collection, and whose fault it is when they fail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from pymongo import InsertOne, UpdateOne
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import AutoReconnect, BulkWriteError, DocumentTooLarge, OperationFailure, PyMongoError

from penstock.core.text import storable
from penstock.errors import PenstockError, SinkError, StoreError
from penstock.sinks.base import OnConflict
from penstock.sinks.mongodb_rows import Row, mark_of
from penstock.stores import mongodb as store
from penstock.stores.mongodb import Document

DUPLICATE = 11000
_DENIED = 13
_TOO_LARGE = 10334
#: The server gave up, for reasons of its own; no row is to blame.
_INTERRUPTED = frozenset({1, 8, 175, 237, 11601})
_REASON_LIMIT = 1000

Operation = InsertOne[Document] | UpdateOne


class Refusal(msgspec.Struct, frozen=True):
    """A row that the server refused, by its place among those written; its code, and the server's words."""

    place: int
    code: int
    reason: str


class Destination:
    """A collection that rows are written into.

    Parameters:
        shown: the database, in messages.
        how: what becomes of rows whose `_id` is there.
    """

    def __init__(self, collection: Collection[Document], shown: str, how: OnConflict) -> None:
        self.collection = collection
        self.how = how
        self._shown = shown

    def put(
        self, rows: Sequence[Row], session: ClientSession | None = None, *, ordered: bool, upsert: bool = False
    ) -> list[Refusal]:
        """Write rows; returns what the server refused, in the order of the rows.

        Parameters:
            ordered: stop at the first row that is refused, and return that one.
            upsert: in updates, do not ask first what is there.

        Raises:
            StoreError, SinkError: no row is to blame.
        """
        if not rows:
            return []
        inserts: list[tuple[int, Operation]] = []
        updates: list[tuple[int, Operation]] = []
        known = set() if self.how is OnConflict.ERROR or upsert else self._known(rows, session)
        for place, row in enumerate(rows):
            mark = None if self.how is OnConflict.ERROR else mark_of(row.document["_id"])
            if not upsert and mark not in known:
                if mark is not None:
                    known.add(mark)
                inserts.append((place, InsertOne(row.document)))
            elif self.how is OnConflict.UPDATE:
                updates.append((place, _update(row.document)))
        # An upsert took 75 us and an insert 10 (MongoDB 6), so upserts are for what is there already.
        refused: list[Refusal] = []
        for operations in (inserts, updates):
            if operations and not (ordered and refused):
                refused += self._write(operations, session, ordered=ordered)
        return sorted(refused, key=lambda each: each.place)

    def of_ids(self, rows: Sequence[Row], session: ClientSession | None = None) -> list[Document]:
        """The documents that are there under the rows' ids."""
        ids = [row.document["_id"] for row in rows]
        return list(self.collection.find({"_id": {"$in": ids}}, session=session))

    def failure(self, error: PyMongoError) -> PenstockError:
        """What an error that no row is to blame for becomes: a collection that refuses all does not change its mind."""
        found = store.translated(error, self._shown)
        if type(found) is not StoreError:
            return found
        return SinkError(f"collection {self.collection.name!r} can't be written: {found}")

    def _known(self, rows: Sequence[Row], session: ClientSession | None) -> set[Any]:
        ids = [row.document["_id"] for row in rows]
        found = self.collection.find({"_id": {"$in": ids}}, {"_id": 1}, session=session)
        return {mark_of(each["_id"]) for each in found}

    def _write(
        self, operations: Sequence[tuple[int, Operation]], session: ClientSession | None, *, ordered: bool
    ) -> list[Refusal]:
        try:
            self.collection.bulk_write([operation for _, operation in operations], ordered=ordered, session=session)
        except BulkWriteError as error:
            writes = error.details.get("writeErrors", ())
            found = store.translated(error, self._shown)
            if any(write.get("code") in _INTERRUPTED for write in writes):
                raise AutoReconnect(f"interrupted: {found}") from error
            if not writes or type(found) is not StoreError or any(write.get("code") == _DENIED for write in writes):
                raise
            return [_refusal(write, operations[write["index"]][0]) for write in writes]
        except OperationFailure as error:
            if error.code == _TOO_LARGE:
                raise DocumentTooLarge(str(error)) from error
            raise
        return []


def _refusal(write: dict[str, Any], place: int) -> Refusal:
    reason = str(write.get("errmsg", ""))
    details = (write.get("errInfo") or {}).get("details")
    if details:
        reason = f"{reason}: {msgspec.json.encode(details, enc_hook=str).decode()}"
    return Refusal(place, int(write.get("code", 0)), storable(reason[:_REASON_LIMIT]))


def _update(document: Document) -> UpdateOne:
    fields = {name: value for name, value in document.items() if name != "_id"}
    if not any("." in name or name.startswith("$") for name in fields):
        return UpdateOne({"_id": document["_id"]}, {"$set": fields}, upsert=True)
    # In $set a dot leads into a document; here it is part of a name, as it is in an insert.
    merged = {"$mergeObjects": ["$$ROOT", {"$literal": fields}]}
    return UpdateOne({"_id": document["_id"]}, [{"$replaceWith": merged}], upsert=True)
