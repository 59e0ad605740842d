"""What a MongoDB sink notes of single jobs: which of them are in.

The jobs whose rows went in together are one document or two, whose array has a unique index. A document for each job would
take as long to write as a row does.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from bson import ObjectId
from pymongo import IndexModel, WriteConcern
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import BulkWriteError, DuplicateKeyError

from penstock.sinks.base import LEDGER, Rejected
from penstock.sinks.job_rows import KEPT, Settled
from penstock.sinks.mongodb.writes import DUPLICATE
from penstock.stores.mongodb import Document

_INDEXES = [IndexModel("ids", unique=True), IndexModel("at")]
#: Jobs that are remembered, at most and about.
_REMEMBERED = 100_000
_OTHERS = frozenset([b""])
_EMPTY: dict[str, Any] = {"ids": []}
_rejections = msgspec.msgpack.Decoder(list[Rejected])


class Met(Exception):
    """One of the jobs is in the ledger already; a transaction is lost by that."""


class JobLedger:
    """The collection `penstock_ledger_jobs`.

    It remembers which jobs it has put into one document, and takes that out by its `_id` when all of them have ended:
    to look for 1,000 jobs by the index took longer than to enter them.
    """

    def __init__(self, database: Database[Document]) -> None:
        self._bundles = database.get_collection(f"{LEDGER}_jobs")
        # What may be lost with the server: a job that is taken out once more, or written over itself.
        self._hasty = self._bundles.with_options(write_concern=WriteConcern(w=1, j=False))
        self._mine: dict[ObjectId, frozenset[bytes]] = {}
        self._places: dict[bytes, ObjectId] = {}

    def prepare(self, now: float) -> None:
        """Make the collection, if there is none, and take out jobs that will not come back."""
        self._bundles.create_indexes(_INDEXES)
        self._bundles.delete_many({"at": {"$lt": _moment(now - KEPT)}})

    def known(self, ids: Sequence[bytes], session: ClientSession | None = None) -> dict[bytes, Sequence[Rejected]]:
        """Those of the jobs that are in, each with what was refused to it."""
        asked = set(ids)
        known: dict[bytes, Sequence[Rejected]] = {}
        for bundle in self._bundles.find({"ids": {"$in": list(asked)}}, session=session):
            known.update((id, ()) for id in bundle["ids"] if id in asked)
            known.update((id, _rejections.decode(packed)) for id, packed in bundle["rejected"] if id in known)
        return known

    def enter(
        self, ids: Sequence[bytes], settled: Settled, now: float | None, session: ClientSession | None = None
    ) -> None:
        """Enter jobs, but those of which no row goes in; raises `Met`."""
        entered = dict.fromkeys(ids)
        for id in settled.void:
            entered.pop(id, None)
        if not entered:
            return
        bundles: list[Document] = [
            {
                "_id": ObjectId(),
                "ids": ids,
                "rejected": [[id, msgspec.msgpack.encode(settled.partial[id])] for id in ids if id in settled.partial],
                "at": _moment(time.time() if now is None else now),
            }
            for ids in _parted(list(entered))
        ]
        if not self._insert(bundles, session):
            for id in entered:  # a transaction before this one, which was rolled back, may have left it behind
                self._places.pop(id, None)
            raise Met
        for bundle in bundles:
            self._remember(bundle["_id"], bundle["ids"])

    def _insert(self, bundles: Sequence[Document], session: ClientSession | None) -> bool:
        """False where an id is in already."""
        into = self._bundles if session else self._hasty
        try:
            if len(bundles) == 1:
                into.insert_one(bundles[0], session=session)
            else:
                into.insert_many(bundles, session=session)
        except DuplicateKeyError:
            return False
        except BulkWriteError as error:
            if any(each.get("code") == DUPLICATE for each in error.details.get("writeErrors", ())):
                return False
            raise
        return True

    def forget(self, ids: Sequence[bytes]) -> None:
        """Take out jobs.

        Outside of transactions: there is no need for one, and it could not be in the way of another's.
        """
        ended = set(ids)
        # Of which only a part has ended, the rest is looked for when it has.
        mine = {
            place: self._mine.pop(place, _OTHERS) for place in {self._places.pop(id, None) for id in ended} if place
        }
        whole = [place for place, entered in mine.items() if entered <= ended]
        if whole:
            self._hasty.delete_many({"_id": {"$in": whole}})
            ended.difference_update(*[mine[place] for place in whole])
        if ended:
            self._look_for(list(ended))

    def _look_for(self, ids: Sequence[bytes]) -> None:
        """Take out jobs by the index."""
        some = {"ids": {"$in": ids}}
        self._hasty.delete_many({**some, "$expr": {"$setIsSubset": ["$ids", ids]}})
        while True:
            try:
                self._hasty.update_many(some, {"$pullAll": {"ids": ids}})
                break
            except DuplicateKeyError:
                # Two may empty one array together, and the index takes one that is empty, not two.
                self._hasty.delete_many(_EMPTY)
        self._hasty.delete_many(_EMPTY)

    def _remember(self, place: ObjectId, ids: Collection[bytes]) -> None:
        """Where jobs are, also when a transaction before this one, which was rolled back, put them elsewhere."""
        if len(self._places) > _REMEMBERED:
            self._mine.clear()
            self._places.clear()
        for before in {self._places.get(id) for id in ids}:
            if before is not None:
                self._mine.pop(before, None)
        self._mine[place] = frozenset(ids)
        self._places.update(dict.fromkeys(ids, place))


def _parted(ids: list[bytes]) -> list[list[bytes]]:
    """The ids of each document: the greatest goes in first, by one of its own.

    For each id that it enters, the server steps over what lies behind it in the index until it finds an entry that this transaction can
    see, and those that were taken out lie there for five minutes. 1,000 rows before 10,000 such took 3 s, and now take 0.03.
    """
    last = max(ids)
    rest = [id for id in ids if id != last]
    return [[last], rest] if rest else [[last]]


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
