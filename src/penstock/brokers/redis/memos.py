"""The memos of jobs in a queue in Redis."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.brokers.redis.link import Argument, Link, moment
from penstock.core.memo import Memo


class RedisMemos:
    """See `penstock.brokers.memos.MemoStore`. Made by `RedisBroker.memos`, whose connection it uses."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def keep(self, memos: Sequence[Memo], *, now: float | None = None) -> list[bool]:
        """See `MemoStore.keep`."""
        words: list[Argument] = []
        for memo in memos:
            words += (memo.lease.claim, memo.lease.id, memo.id, memo.value, repr(memo.ttl))
        return [bool(kept) for kept in self._link.run("memo_keep", moment(now), *words)]

    def discard(self, ids: Sequence[bytes]) -> None:
        """See `MemoStore.discard`."""
        self._link.run("memo_discard", *ids)
