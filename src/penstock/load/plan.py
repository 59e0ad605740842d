"""What a load is to do, and how far it has got."""

from __future__ import annotations

import os
from hashlib import blake2b

import msgspec

from penstock.load.slices import Position
from penstock.sinks.base import OnConflict, Target

READ = "penstock.load.read"
WRITE = "penstock.load.write"


class Plan(msgspec.Struct, frozen=True):
    """One load: a file, and either a table (`into`, `table`) or a task (`to`) that its records go to.

    Parameters:
        source: a path, or `-`.
        format: of the source, where it was named.
        into: URL of the database, with `table` and whether to `create` it.
        on_conflict: what becomes of a record whose `conflict_key` (columns; without, the primary key) is taken.
        to: "package.module:app.task".
        queue: URL of the broker between reader and writers.
        workers: how many processes write.
    """

    source: str
    queue: str
    format: str | None = None
    into: str | None = None
    table: str | None = None
    create: bool = False
    to: str | None = None
    workers: int = 2
    on_conflict: OnConflict = OnConflict.ERROR
    conflict_key: tuple[str, ...] = ()

    @property
    def target(self) -> Target:
        """What a sink is told of it."""
        return Target(str(self.table), self.on_conflict, self.conflict_key)

    @property
    def manner(self) -> str:
        """How it is written, as options: what may not change between one run of a load and the next."""
        key = f" --key {','.join(self.conflict_key)}" if self.conflict_key else ""
        return f"--on-conflict {self.on_conflict}{key}"

    @property
    def key(self) -> bytes:
        """16 bytes that the same command finds again: the id of the job that reads."""
        source = self.source if self.source == "-" else os.path.abspath(self.source)
        text = "\0".join([source, self.into or "", self.table or "", self.to or ""])
        return blake2b(text.encode(), digest_size=16, person=b"penstock load").digest()

    @property
    def lane(self) -> str:
        """The queue of the rows that are to be written."""
        return f"load-{self.key.hex()[:8]}"

    @property
    def read_lane(self) -> str:
        """The queue of the one job that reads."""
        return f"{self.lane}-read"


class Progress(msgspec.Struct, frozen=True):
    """How far the reader has got: the payload of its job, so that it commits together with the rows it made.

    Parameters:
        batch: the id under which records are counted.
        consumed: bytes of the file on disk, of `size` (None for standard input).
        sizes: how many rows of which number of records were made.
        manner: that of the plan it began with; empty in a load that an older version began.
    """

    batch: bytes
    position: Position | None = None
    consumed: int = 0
    size: int | None = None
    sizes: dict[int, int] = {}
    end: bool = False
    manner: str = ""

    def estimated_total(self, so_far: int) -> int | None:
        """How many records there will be, judged by those of the part that was read; None when nothing tells."""
        if self.end:
            return so_far
        if not self.size or not self.consumed:
            return None
        return max(so_far, round(so_far * self.size / self.consumed))
