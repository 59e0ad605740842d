"""Where the memos of jobs that run are kept: see `penstock.core.memo`. Read as results are, by their ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from penstock.core.memo import Memo


class MemoStore(Protocol):
    """Writes memos, fenced as endings are."""

    def keep(self, memos: Sequence[Memo], *, now: float | None = None) -> list[bool]:
        """Store memos; those of which the lease is not in force change nothing, and are told by False.

        Parameters:
            now: in epoch seconds.
        """

    def discard(self, ids: Sequence[bytes]) -> None:
        """Delete memos that nobody needs any more."""
