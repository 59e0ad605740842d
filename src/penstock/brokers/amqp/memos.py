"""The memos of jobs in a queue in RabbitMQ: the backend has them, of messages too."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from penstock.brokers.amqp.keeper import Keeper
from penstock.brokers.amqp.link import Link
from penstock.brokers.amqp.message import DELIVERED
from penstock.core.memo import Memo


class AmqpMemos:
    """See `penstock.brokers.memos.MemoStore`.

    Parameters:
        holds: is a claim one of the messages that this connection has?
    """

    def __init__(self, link: Link, keeper: Keeper, holds: Callable[[int], bool]) -> None:
        self._link = link
        self._keeper = keeper
        self._holds = holds

    def keep(self, memos: Sequence[Memo], *, now: float | None = None) -> list[bool]:
        """See `MemoStore.keep`. A message's lease is in force as long as the connection by which it came."""
        with self._link.held():
            kept: list[bool] = []
            for memo in memos:
                if memo.lease.key != DELIVERED:
                    kept += self._keeper.open().memos().keep([memo], now=now)
                    continue
                is_held = self._holds(memo.lease.claim)
                if is_held:
                    self._keeper.keep({memo.id: memo.value}, memo.ttl, now)
                kept.append(is_held)
            return kept

    def discard(self, ids: Sequence[bytes]) -> None:
        """See `MemoStore.discard`."""
        with self._link.held():
            self._keeper.open().memos().discard(ids)
