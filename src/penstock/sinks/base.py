"""What a sink does: write batches of rows into a table, each batch exactly once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from enum import StrEnum
from types import TracebackType
from typing import Any, Self

import msgspec

from penstock.errors import ConfigError

#: The table, in the database that is written to, with the ids of the batches that are in; `..._jobs` has single jobs.
LEDGER = "penstock_ledger"


class OnConflict(StrEnum):
    """What becomes of a row whose key is in the table already."""

    ERROR = "error"  # the row is rejected, with the database's message
    IGNORE = "ignore"  # the row that is there stays as it is
    UPDATE = "update"  # the fields that the record has replace those that are there
    ADD = "add"  # its numbers are added to those that are there; its other fields replace them

    @property
    def changes(self) -> bool:
        """Does the row that is there change?"""
        return self in {OnConflict.UPDATE, OnConflict.ADD}


class Target(msgspec.Struct, frozen=True):
    """What is written into, and how.

    Parameters:
        table: its name, as it is; a schema may stand before a dot where the database has schemas.
        key: the columns that tell rows apart, for `on_conflict`; without, the primary key.
    """

    table: str
    on_conflict: OnConflict = OnConflict.ERROR
    key: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.table.lower() in {LEDGER, f"{LEDGER}_jobs"}:
            raise ConfigError(f"{self.table.lower()} is the sink's own table: name another")
        if len(set(self.key)) != len(self.key) or "" in self.key:
            raise ConfigError(f"a key is column names, each once, not {', '.join(self.key)!r}")


class Rejected(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A row that was not written: its index in the batch, and why, in the database's own words where it is to blame."""

    index: int
    reason: str


class Written(msgspec.Struct, frozen=True):
    """What became of a batch: how many rows went in, and which did not.

    `repeated` says that it was in already, so that nothing was written now; the rest is as it was then. `known` is how
    many rows of single jobs were in already and so were not written: see `Sink.write_jobs`.
    """

    rows: int
    rejected: list[Rejected]
    repeated: bool = False
    known: int = 0


#: Ends what a batch came from, one job or many, in the transaction of its rows, which is the first argument. False
#: rolls back all of it.
End = Callable[[object, Written], bool]


class Sink(ABC):
    """A table that rows are written into.

    Parameters:
        url: of the database.

    A sink keeps a ledger in the database it writes to: the id of each batch, or of each job, stored in the same
    transaction as its rows. What is handed in again, after a crash say, is found there and not written twice. It is not
    thread-safe: whoever opens it owns it. Driver exceptions never leave a sink: they become
    `penstock.errors.StoreError` and `SinkError`.
    """

    @abstractmethod
    def __init__(self, url: str, target: Target) -> None: ...

    @abstractmethod
    def open(self) -> None:
        """Connect, and make the ledger if there is none. Safe to call in many processes at once."""

    @abstractmethod
    def close(self) -> None:
        """Disconnect. May be called twice."""

    @abstractmethod
    def exists(self) -> bool:
        """Whether the table does."""

    @abstractmethod
    def create(self, sample: Sequence[dict[str, Any]]) -> None:
        """Create the table, its columns inferred from sample records; nothing to do where it exists.

        The target's key, where there is one, becomes the primary key.

        Raises:
            SinkError: the sample has no column, or the database refuses the table.
        """

    @abstractmethod
    def write(self, ledger_id: bytes, payload: bytes, *, now: float | None = None) -> Written:
        """Write a batch, all but the rows that are refused, and its ledger entry, in one transaction.

        Parameters:
            ledger_id: what the batch is known by, the id of its job say.
            payload: a msgpack array of maps, from column to value.
            now: seconds since the epoch, noted in the ledger.

        Raises:
            PayloadError: the payload is no msgpack array.
            SinkError: there is no such table.
            StoreUnavailable: another try may succeed; nothing was written.
        """

    @abstractmethod
    def write_jobs(
        self, ids: Sequence[bytes], payload: bytes, *, ended: Sequence[bytes] = (), now: float | None = None
    ) -> Written:
        """Write rows of single jobs, each job exactly once, however its rows come together the next time.

        Rows whose job is in the ledger are in, and are not written again; of those that are refused nothing stays
        there, so that their job may try again. A job that had some rows refused keeps the others, and is told the same
        of them when it comes back.

        Parameters:
            ids: of the job that each row comes from, 16 bytes, one for each row in `payload`. All rows of a job go in
                by one call.
            payload: a msgpack array of maps, from column to value.
            ended: ids of jobs that will never be handed in again, for the broker has their endings: they leave the
                ledger.
            now: seconds since the epoch, noted in the ledger. The first call deletes what has been in it for 30 days.

        Returns:
            The rows that went in now, the refused ones, and how many were known to be in.

        Raises:
            As `write` does; and `ValueError` for ids that do not go with the payload.
        """

    @abstractmethod
    def forget_jobs(self, ids: Sequence[bytes]) -> None:
        """Take jobs whose endings the broker has out of the ledger, when there is nothing more to write with them."""

    def shares(self, broker_url: str) -> bool:
        """Can the endings of a broker's jobs be part of this sink's transactions? See `write_with`."""
        return False

    def write_with(self, payload: bytes, end: End) -> Written | None:
        """Write a batch in one transaction with the endings of its jobs, which makes a ledger entry needless.

        Parameters:
            end: called when the rows are written and before the commit; again, if the transaction has to be repeated. Where one
                statement does for a single row, it is called first with that statement in the making, to add to it.

        Returns:
            None when `end` was False, as when one of the jobs has another holder now: then nothing was written, and the
            rows of the other jobs can be handed in without it.

        Raises:
            As `write` does; and after `StoreUnavailable` the batch is in if its job is ended, else it is not.
        """
        raise ConfigError("this sink shares no transactions with a broker")

    @abstractmethod
    def forget(self, prefix: bytes) -> None:
        """Take batches that will never be handed in again out of the ledger: all whose id starts so."""

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
