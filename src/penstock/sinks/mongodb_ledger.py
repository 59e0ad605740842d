"""What a MongoDB sink notes of each batch: how far it has got, and how it ended."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from pymongo import ReturnDocument, WriteConcern
from pymongo.client_session import ClientSession
from pymongo.database import Database

from penstock.sinks.base import LEDGER, Rejected, Written
from penstock.stores.mongodb import Document

_rejections = msgspec.msgpack.Decoder(list[Rejected])


class Entry(msgspec.Struct, frozen=True):
    """A batch as it is noted.

    Parameters:
        upto: rows before this index are settled.
        rows, rejected: what became of those.
        tries: how often its writing was begun, where that is counted.
    """

    upto: int = 0
    rows: int = 0
    rejected: tuple[Rejected, ...] = ()
    done: bool = False
    tries: int = 0

    @property
    def written(self) -> Written:
        """How the batch ended when it was written."""
        return Written(self.rows, list(self.rejected), repeated=True)


class Ledger:
    """The collection `penstock_ledger`. Ids are kept as hexadecimal text, in which those of one load are neighbours."""

    def __init__(self, database: Database[Document]) -> None:
        self._entries = database.get_collection(LEDGER)
        # An entry need not be safe before the rows that follow it are, and those wait for both.
        self._hasty = self._entries.with_options(write_concern=WriteConcern(w=1, j=False))

    def find(self, id: bytes, session: ClientSession | None = None) -> Entry:
        """The entry of a batch; an empty one where there is none."""
        return _entry(self._entries.find_one({"_id": id.hex()}, session=session))

    def begin(self, id: bytes) -> Entry:
        """Count a try to write a batch; returns the entry with it. Made before any row is."""
        found = self._hasty.find_one_and_update(
            {"_id": id.hex()}, {"$inc": {"tries": 1}}, upsert=True, return_document=ReturnDocument.AFTER
        )
        return _entry(found)

    def end(self, id: bytes, written: Written, now: float | None) -> bool:
        """Note how a batch ended; False when that was noted already."""
        fields = _fields(Entry(rows=written.rows, rejected=tuple(written.rejected), done=True), now)
        return self._hasty.update_one({"_id": id.hex(), "done": {"$ne": True}}, {"$set": fields}).matched_count > 0

    def advance(self, id: bytes, before: Entry, after: Entry, now: float | None, session: ClientSession | None) -> bool:
        """Note how far a batch has got; False when somebody else has got further in the meantime.

        Raises what pymongo does: the same batch begun by two is a duplicate key.
        """
        if not before.upto and not before.done:
            self._entries.insert_one({"_id": id.hex(), **_fields(after, now)}, session=session)
            return True
        found = self._entries.update_one(
            {"_id": id.hex(), "upto": before.upto, "done": False}, {"$set": _fields(after, now)}, session=session
        )
        return found.matched_count > 0

    def forget(self, prefix: bytes) -> None:
        """Delete the entries of ids that start so."""
        start = prefix.hex()
        self._entries.delete_many({"_id": {"$gte": start, "$lt": f"{start}g"}})


def _fields(entry: Entry, now: float | None) -> dict[str, Any]:
    return {
        "upto": entry.upto,
        "rows": entry.rows,
        "rejected": msgspec.msgpack.encode(entry.rejected),
        "done": entry.done,
        "at": datetime.fromtimestamp(time.time() if now is None else now, UTC),
    }


def _entry(found: Document | None) -> Entry:
    if found is None:
        return Entry()
    rejected: Sequence[Rejected] = _rejections.decode(found["rejected"]) if found.get("rejected") else ()
    return Entry(
        found.get("upto", 0), found.get("rows", 0), tuple(rejected), found.get("done", False), found.get("tries", 0)
    )
