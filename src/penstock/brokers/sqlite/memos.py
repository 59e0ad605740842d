"""The memos of jobs in a SQLite queue."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from penstock.core.memo import Memo
from penstock.stores.statements import Statements


class SqliteMemos:
    """See `penstock.brokers.memos.MemoStore`. Made by `SqliteBroker.memos`, whose connection it uses."""

    def __init__(self, transaction: Callable[[], AbstractContextManager[sqlite3.Connection]], sql: Statements) -> None:
        self._transaction = transaction
        self._sql = sql

    def keep(self, memos: Sequence[Memo], *, now: float | None = None) -> list[bool]:
        """See `MemoStore.keep`."""
        now = time.time() if now is None else now
        with self._transaction() as connection:
            return [
                connection.execute(
                    self._sql["memo_keep"], (memo.id, memo.value, now + memo.ttl, memo.lease.key, memo.lease.claim)
                ).rowcount
                > 0
                for memo in memos
            ]

    def discard(self, ids: Sequence[bytes]) -> None:
        """See `MemoStore.discard`."""
        with self._transaction() as connection:
            connection.executemany(self._sql["memo_discard"], [(id,) for id in ids])
