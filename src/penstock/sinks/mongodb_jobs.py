"""What a MongoDB sink notes of single jobs: which of them are in.

The jobs whose rows went in together are one document, whose array has a unique index. A document for each job would
take as long to write as a row does.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from pymongo import IndexModel, WriteConcern
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from penstock.sinks.base import LEDGER, Rejected
from penstock.sinks.job_rows import KEPT, Settled
from penstock.stores.mongodb import Document

_INDEXES = [IndexModel("ids", unique=True), IndexModel("at")]
_rejections = msgspec.msgpack.Decoder(list[Rejected])


class Met(Exception):
    """One of the jobs is in the ledger already; a transaction is lost by that."""


class JobLedger:
    """The collection `penstock_ledger_jobs`."""

    def __init__(self, database: Database[Document]) -> None:
        self._bundles = database.get_collection(f"{LEDGER}_jobs")
        # Where there are no transactions, what is lost with the server is written over itself.
        self._hasty = self._bundles.with_options(write_concern=WriteConcern(w=1, j=False))

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
            known.update((id, _rejections.decode(packed)) for id, packed in bundle["rejected"] if id in asked)
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
        bundle: dict[str, Any] = {
            "ids": list(entered),
            "rejected": [[id, msgspec.msgpack.encode(found)] for id, found in settled.partial.items() if id in entered],
            "at": _moment(time.time() if now is None else now),
        }
        try:
            (self._bundles if session else self._hasty).insert_one(bundle, session=session)
        except DuplicateKeyError:
            raise Met from None

    def forget(self, ids: Sequence[bytes], session: ClientSession | None = None) -> None:
        """Take out jobs."""
        if not ids:
            return
        bundles = self._bundles if session else self._hasty
        some = {"ids": {"$in": list(ids)}}
        # Those of one document end together as a rule.
        bundles.delete_many({**some, "$expr": {"$setIsSubset": ["$ids", list(ids)]}}, session=session)
        while True:
            try:
                left = bundles.update_many(some, {"$pullAll": {"ids": list(ids)}}, session=session)
            except DuplicateKeyError:
                if session is not None:
                    raise
            else:
                if session is not None or not left.modified_count:
                    return
            # Without transactions two may empty one array together, and the index takes one that is empty, not two.
            if not bundles.delete_many({"ids": []}).deleted_count:
                return


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
