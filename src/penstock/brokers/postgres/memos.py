"""The memos of jobs in a PostgreSQL queue."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.brokers.postgres.arrays import Array
from penstock.brokers.postgres.link import Link
from penstock.core.memo import Memo


class PostgresMemos:
    """See `penstock.brokers.memos.MemoStore`. Made by `PostgresBroker.memos`, whose connection it uses."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def keep(self, memos: Sequence[Memo], *, now: float | None = None) -> list[bool]:
        """See `MemoStore.keep`."""
        kept = self._link.run(
            "memo_keep",
            ids=Array("uuid", [memo.id for memo in memos]),
            jobs=Array("uuid", [memo.lease.id for memo in memos]),
            claims=Array("int8", [memo.lease.claim for memo in memos]),
            memos=Array("bytea", [memo.value for memo in memos]),
            ttls=Array("float8", [memo.ttl for memo in memos]),
            at=now,
        )
        stored = {id for (id,) in kept}
        return [memo.id in stored for memo in memos]

    def discard(self, ids: Sequence[bytes]) -> None:
        """See `MemoStore.discard`."""
        self._link.run("memo_discard", ids=Array("uuid", ids))
