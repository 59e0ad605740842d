"""What a MongoDB sink notes of each batch: how far it has got, and how it ended."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from bson.binary import UUID_SUBTYPE, Binary
from pymongo import ReturnDocument, WriteConcern
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from penstock.sinks.base import LEDGER, Rejected, Written
from penstock.stores.mongodb import Document

_rejections = msgspec.msgpack.Decoder(list[Rejected])


class Entry(msgspec.Struct, frozen=True):
    """A batch as it is noted.

    Parameters:
        upto: rows before this index are settled.
        rows, rejected: what became of those.
        tries: how often its writing was begun.
        session: whose transactions write it, where there are transactions.
    """

    upto: int = 0
    rows: int = 0
    rejected: tuple[Rejected, ...] = ()
    done: bool = False
    tries: int = 0
    session: str = ""

    @property
    def written(self) -> Written:
        """How the batch ended when it was written."""
        return Written(self.rows, list(self.rejected), repeated=True)


class Ledger:
    """The collection `penstock_ledger`. Ids are kept as hexadecimal text, in which those of one load are neighbours."""

    def __init__(self, database: Database[Document]) -> None:
        self._entries = database.get_collection(LEDGER)
        # What may be lost with the server: in a transaction it is missed, and at the end it is written again.
        self._hasty = self._entries.with_options(write_concern=WriteConcern(w=1, j=False))

    def find(self, id: bytes) -> Entry:
        """The entry of a batch; an empty one where there is none."""
        return _entry(self._entries.find_one({"_id": id.hex()}))

    def begin(self, id: bytes) -> Entry:
        """Count a try to write a batch; returns the entry with it. Made before any row is."""
        found = self._entries.find_one_and_update(
            {"_id": id.hex()}, {"$inc": {"tries": 1}}, upsert=True, return_document=ReturnDocument.AFTER
        )
        return _entry(found)

    def take(self, id: bytes, session: ClientSession) -> Entry:
        """Put a batch into the hands of a session; returns its entry.

        A transaction of a program that was killed stays open for a minute, and is in the way of all who write the same.
        So the session that had the batch before is ended first.
        """
        mine = _name(session)
        try:
            self._hasty.insert_one({"_id": id.hex(), "session": mine, "upto": 0, "done": False})
        except DuplicateKeyError:
            entry = self.find(id)
            if not entry.done and entry.session != mine:
                if entry.session:
                    before = {"id": Binary(bytes.fromhex(entry.session), UUID_SUBTYPE)}
                    self._entries.database.command("killSessions", [before])
                self._hasty.update_one({"_id": id.hex(), "done": {"$ne": True}}, {"$set": {"session": mine}})
                entry = self.find(id)
            return entry
        return Entry(session=mine)

    def end(self, id: bytes, written: Written, now: float | None) -> bool:
        """Note how a batch ended; False when that was noted already."""
        fields = _fields(Entry(rows=written.rows, rejected=tuple(written.rejected), done=True), now)
        return self._hasty.update_one({"_id": id.hex(), "done": {"$ne": True}}, {"$set": fields}).matched_count > 0

    def advance(self, id: bytes, before: Entry, after: Entry, now: float | None, session: ClientSession) -> bool:
        """Note how far a batch has got; False when it has been taken by another session in the meantime."""
        # A commit that was done and not heard of is not done again: then the entry has moved on.
        upto = before.upto or {"$in": [0, None]}
        mine = {"_id": id.hex(), "upto": upto, "done": {"$ne": True}, "session": _name(session)}
        found = self._entries.update_one(mine, {"$set": _fields(after, now)}, session=session)
        return found.matched_count > 0

    def forget(self, prefix: bytes) -> None:
        """Delete the entries of ids that start so."""
        start = prefix.hex()
        self._entries.delete_many({"_id": {"$gte": start, "$lt": f"{start}g"}})


def _name(session: ClientSession) -> str:
    """The id of a session, as text."""
    return bytes(session.session_id["id"]).hex()


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
        found.get("upto", 0), found.get("rows", 0), tuple(rejected), found.get("done", False), found.get("tries", 0),
        found.get("session", ""),
    )  # fmt: skip
