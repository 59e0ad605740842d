"""What a job notes for its next run, and for whoever watches it: memos, each kept as a result under an id of its own."""

from __future__ import annotations

import msgspec

from penstock.core.ids import format_id
from penstock.core.job import Lease

#: Seconds for which a memo is kept after it was written last, unless its job ends well before.
KEPT = 7 * 86_400.0
#: Bytes of a memo, at most.
LARGEST = 1 << 20
PROGRESS = "progress"
CHECKPOINT = "checkpoint"


class Memo(msgspec.Struct, frozen=True, gc=False):
    """What the holder of a lease has noted: its id, its encoded value, and the seconds to keep it."""

    lease: Lease
    id: bytes
    value: bytes
    ttl: float = KEPT


class Progress(msgspec.Struct, frozen=True, array_like=True):
    """How far a job is, by its own account.

    Parameters:
        done, total: in a unit of its own; `total` is 0 where it is not known.
        note: what it does just now.
        at: when it said so, in epoch seconds.
    """

    done: float
    total: float = 0.0
    note: str = ""
    at: float = 0.0

    @property
    def fraction(self) -> float | None:
        """From 0 to 1, as far as it can be told."""
        return min(1.0, max(0.0, self.done / self.total)) if self.total > 0 else None

    def __str__(self) -> str:
        share = "" if self.fraction is None else f"{self.fraction:.0%}, "
        of = f" of {self.total:,g}" if self.total else ""
        return f"{share}{self.done:,g}{of}{f': {self.note}' if self.note else ''}"


def subject(lease: Lease, item: int | None) -> bytes:
    """What memos belong to: a job or, as that may leave its packed row as a job of its own, an item of a batch."""
    if lease.batch is None or item is None:
        return lease.id
    return lease.batch + item.to_bytes(8, "big")


def memo_id(of: bytes, name: str) -> bytes:
    """The id under which a memo is kept.

    Parameters:
        of: as `subject` tells.
        name: of the memo.
    """
    from hashlib import blake2b  # loads OpenSSL

    return blake2b(of + name.encode(), digest_size=16, person=b"penstock.memo").digest()


def window_id(key: str) -> bytes:
    """Under which id it is kept which job holds a unique key for a time."""
    return memo_id(b"", f"unique:{key}")


def step_name(name: str) -> str:
    """The memo of a step."""
    return f"step:{name}"


def too_large(lease: Lease, what: str, size: int) -> str:
    """What to say of a memo that has too many bytes."""
    return (
        f"{lease.task} ({format_id(lease.id)}): {what} has {size:,} bytes, and may have {LARGEST:,}: "
        "store it elsewhere, and keep where"
    )
