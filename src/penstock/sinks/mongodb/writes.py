"""The writes of rows into a collection, and whose fault it is when they fail."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Any

import msgspec
from pymongo import UpdateOne
from pymongo.client_session import ClientSession
from pymongo.collection import Collection as Documents
from pymongo.errors import BulkWriteError, DocumentTooLarge, OperationFailure, PyMongoError

from penstock.core.text import storable
from penstock.errors import PenstockError, SinkError, StoreError
from penstock.sinks.base import OnConflict, Target
from penstock.sinks.mongodb.rows import Row, mark_of
from penstock.stores import mongodb as store
from penstock.stores.mongodb import Document

DUPLICATE = 11000
_DENIED = 13
_TOO_LARGE = 10334
#: The server gave up, for reasons of its own; no row is to blame.
_INTERRUPTION = 11601
_INTERRUPTED = frozenset({1, 8, 175, 237, _INTERRUPTION, 11602})
_REASON_LIMIT = 1000


class Refusal(msgspec.Struct, frozen=True):
    """A row that the server refused, by its place among those written; its code, and the server's words.

    `is_known` says that a document of its `_id` is there.
    """

    place: int
    code: int
    reason: str
    is_known: bool = False


class Destination:
    """A collection that rows are written into.

    Parameters:
        shown: the database, in messages.
        target: what becomes of rows whose `_id` is there, and the fields that an `_id` is made of.
        is_light: all rows that are written fit into one message.
    """

    def __init__(self, collection: Documents[Document], shown: str, target: Target, *, is_light: bool = False) -> None:
        self.collection = collection
        self._is_light = is_light
        self.how = target.on_conflict
        self._kept = frozenset(["_id", *target.key])
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
        inserts: list[tuple[int, Document]] = []
        updates: list[tuple[int, UpdateOne]] = []
        known = set() if self.how is OnConflict.ERROR or upsert else self._known(rows, session)
        adding = self.how is OnConflict.ADD
        for place, document in added_up(rows, self._kept) if adding else enumerate(map(_document, rows)):
            mark = None if self.how is OnConflict.ERROR else mark_of(document["_id"])
            if not upsert and mark not in known:
                if mark is not None:
                    known.add(mark)
                inserts.append((place, document))
            elif self.how.changes:
                updates.append((place, _addition(document, self._kept) if adding else _update(document)))
        # An upsert took 75 us and an insert 10 (MongoDB 6), so upserts are for what is there already.
        refused: list[Refusal] = []
        if inserts:
            documents = [document for _, document in inserts]
            insert = partial(self._insert, documents, session, ordered=ordered)
            refused += self._write(insert, [place for place, _ in inserts])
        if updates and not (ordered and refused):
            operations = [operation for _, operation in updates]
            update = partial(self.collection.bulk_write, operations, ordered=ordered, session=session)
            refused += self._write(update, [place for place, _ in updates])
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

    def _insert(self, documents: Sequence[Document], session: ClientSession | None, *, ordered: bool) -> None:
        if session is None or not self._is_light:
            self.collection.insert_many(documents, ordered=ordered, session=session)
            return
        # A transaction is tried again as a whole, so this lacks nothing but the driver's look at each document: 8.0 us a row, not 9.2.
        told = self.collection.database.command(
            "insert", self.collection.name, documents=documents, ordered=ordered, session=session
        )
        if told.get("writeErrors"):
            raise BulkWriteError({"writeConcernErrors": [], **told})

    def _write(self, write: Callable[[], object], places: Sequence[int]) -> list[Refusal]:
        try:
            write()
        except BulkWriteError as error:
            writes = error.details.get("writeErrors", ())
            found = store.translated(error, self._shown)
            if any(each.get("code") in _INTERRUPTED for each in writes):
                raise OperationFailure(str(found), _INTERRUPTION) from error
            if not writes or type(found) is not StoreError or any(each.get("code") == _DENIED for each in writes):
                raise
            return [_refusal(each, places[each["index"]]) for each in writes]
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
    is_known = write.get("keyPattern") == {"_id": 1}
    return Refusal(place, int(write.get("code", 0)), storable(reason[:_REASON_LIMIT]), is_known)


def added_up(rows: Sequence[Row], kept: Collection[str]) -> Iterator[tuple[int, Document]]:
    """Rows of one `_id` as one: with the sums of their numbers, and the last of their other values.

    Each comes with the place of the last row that is in it. The numbers in fields of `kept` are not added.
    """
    found: dict[Any, tuple[int, Document]] = {}
    for place, row in enumerate(rows):
        mark = mark_of(row.document["_id"])
        if mark not in found:
            found[mark] = place, row.document
            continue
        together = dict(found[mark][1])
        for name, value in row.document.items():
            before = together.get(name)
            if name in kept or not isinstance(before, int | float) or isinstance(before, bool):
                together[name] = value
            elif is_number(value):
                together[name] = _sum(before, value)
            elif value is not None:
                together[name] = value
        found[mark] = place, together
    return iter(found.values())


def _sum(first: float, second: float) -> float:
    """As the server adds them: what has more than 64 bits is no whole number any more."""
    total = first + second
    return float(total) if isinstance(total, int) and not -(2**63) <= total < 2**63 else total


def is_number(value: object) -> bool:
    """Can it be added to another?"""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _document(row: Row) -> Document:
    return row.document


def _addition(document: Document, kept: Collection[str]) -> UpdateOne:
    """Adds the numbers to those that are there, where null counts as 0, and replaces the other fields."""
    others: Document = {}
    changed: list[dict[str, Any]] = []
    for name, value in document.items():
        if name in kept or (value is not None and not is_number(value)):
            others[name] = value
            continue
        # By name and not by path: a dot is part of a name, as it is in an insert.
        old = {"$getField": {"field": {"$literal": name}, "input": "$$ROOT"}}
        new = old if value is None else {"$add": [old, value]}
        changed.append({"k": {"$literal": name}, "v": {"$cond": [{"$isNumber": old}, new, value]}})
    stage = {"$mergeObjects": ["$$ROOT", {"$literal": others}, {"$arrayToObject": [changed]}]}
    return UpdateOne({"_id": document["_id"]}, [{"$replaceWith": stage}], upsert=True)


def _update(document: Document) -> UpdateOne:
    fields = {name: value for name, value in document.items() if name != "_id"}
    if not any("." in name or name.startswith("$") for name in fields):
        return UpdateOne({"_id": document["_id"]}, {"$set": fields}, upsert=True)
    # In $set a dot leads into a document; here it is part of a name, as it is in an insert.
    merged = {"$mergeObjects": ["$$ROOT", {"$literal": fields}]}
    return UpdateOne({"_id": document["_id"]}, [{"$replaceWith": merged}], upsert=True)
