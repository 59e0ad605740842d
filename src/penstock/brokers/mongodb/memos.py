"""The memos of jobs in a MongoDB queue. Each has the claim by which it was written: one that came after is not overwritten by one before."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pymongo.errors import DuplicateKeyError

from penstock.brokers.mongodb.layout import Layout
from penstock.core.job import Lease
from penstock.core.memo import Memo
from penstock.stores.mongodb import translating
from penstock.stores.mongodb_clock import ServerClock

#: Seconds for which MongoDB keeps a memo that nobody prunes, after it has expired.
_GRACE = 60.0


class MongoMemos:
    """See `penstock.brokers.memos.MemoStore`. Made by `MongoBroker.memos`, whose client it uses."""

    def __init__(self, shown: str, layout: Layout, clock: ServerClock) -> None:
        self._shown = shown
        self._layout = layout
        self._clock = clock

    def keep(self, memos: Sequence[Memo], *, now: float | None = None) -> list[bool]:
        """See `MemoStore.keep`."""
        with translating(self._shown):
            return [self._keep(memo, self._clock.now() if now is None else now) for memo in memos]

    def _keep(self, memo: Memo, now: float) -> bool:
        claim = memo.lease.claim
        gone = datetime.fromtimestamp(self._clock.now() + memo.ttl + _GRACE, UTC)
        change = {"$set": {"value": memo.value, "expires": now + memo.ttl, "gone": gone, "claim": claim}}
        results = self._layout.results
        older: dict[str, Any] = {"$or": [{"claim": {"$lte": claim}}, {"claim": None}]}
        while self._is_in_force(memo.lease):
            try:
                results.update_one({"_id": memo.id, **older}, change, upsert=True)
            except DuplicateKeyError:
                # By a greater number. As ours is in force, that was given by a clock that has been set back since.
                found = results.find_one({"_id": memo.id}, {"claim": 1})
                older = {"claim": None if found is None else found.get("claim")}
            else:
                return True
        return False

    def _is_in_force(self, lease: Lease) -> bool:
        return self._layout.jobs.find_one({"_id": lease.id, "claim": lease.claim}, {"_id": 1}) is not None

    def discard(self, ids: Sequence[bytes]) -> None:
        """See `MemoStore.discard`."""
        with translating(self._shown):
            self._layout.results.delete_many({"_id": {"$in": list(ids)}})
