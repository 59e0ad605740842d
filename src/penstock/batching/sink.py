"""Jobs that are rows: written into a sink many at a time, each exactly once."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import msgspec

from penstock.batching.rows import RunningRow
from penstock.core.codec import Signature
from penstock.core.decide import Policy, Terms, dead, succeeded
from penstock.core.job import Failure, Lease
from penstock.core.joining import Joining
from penstock.core.outcome import Ending, Outcome
from penstock.core.packed import Packed
from penstock.core.tracebacks import format_traceback
from penstock.errors import PayloadError, StoreError, StoreUnavailable
from penstock.sinks.base import Sink, Written

#: Seconds, about, to wait before a write is tried again in the same call for which the database was away. After the last
#: one the jobs go back, each with a retry that counts.
_WAITS = (0.05, 0.2, 0.5)
#: Jobs that leave the ledger together, at least: where each is written by itself, a statement less for nearly all of them.
_FORGOTTEN_TOGETHER = 100
T = TypeVar("T")

#: Seconds that jobs wait at least and at most until they are tried again, while the database is away.
_SHORTEST_WAIT = 0.25
_LONGEST_WAIT = 15.0
_TERMS = Terms()
_ONE_ARGUMENT = b"\x91"
_encode = msgspec.msgpack.Encoder().encode

#: What an item becomes: a row, a list of rows, or None where there is none. What it raises is that item's error.
ToRows = Callable[[Any], Any]
_whole = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
#: What msgspec raises for bytes that are none.
_UNFIT = (msgspec.MsgspecError, ValueError, RecursionError, OverflowError)


class Rows:
    """Rows on their way into a sink, and the item that each comes from."""

    def __init__(self) -> None:
        self._encoded: list[bytes] = []
        #: The number of each row's item.
        self.owners: list[int] = []

    def add(self, owner: int, rows: Iterable[bytes]) -> None:
        """An item's rows."""
        for row in rows:
            self._encoded.append(row)
            self.owners.append(owner)

    @property
    def payload(self) -> bytes:
        """All rows, as `Sink.write` takes them."""
        count = len(self._encoded)
        if count < 16:
            head = bytes((0x90 | count,))
        elif count < 1 << 16:
            head = b"\xdc" + count.to_bytes(2)
        else:
            head = b"\xdd" + count.to_bytes(4)
        return head + b"".join(self._encoded)

    def without(self, owners: Container[int]) -> Rows:
        """Those of other items."""
        rows = Rows()
        for row, owner in zip(self._encoded, self.owners, strict=True):
            if owner not in owners:
                rows.add(owner, (row,))
        return rows

    def refused(self, written: Written) -> dict[int, str]:
        """Why the database refused rows, by the number of their item; of several rows of one item, the first one's reason."""
        reasons: dict[int, str] = {}
        for each in written.rejected:
            reasons.setdefault(self.owners[each.index], each.reason)
        return reasons


class SinkWriter:
    """Writes the bundles and packed rows of one task. Safe to use from many threads: each call has a connection to itself.

    Parameters:
        connect: opens the sink.
        broker_url: tells where the jobs come from: in the same database, rows and endings are one transaction.
        signature: of one job.
        to_rows: makes an item's rows; without, the item is its row.
        create: make the table from the first rows where there is none.
        bare: the items of packed rows are rows as they are, and not arguments of jobs.
        ledger_id: by what the ledger knows a packed row, where somebody else sees to it that it is forgotten.
    """

    def __init__(
        self,
        connect: Callable[[], Sink],
        broker_url: Callable[[], str],
        signature: Signature,
        to_rows: ToRows | None = None,
        *,
        create: bool = False,
        bare: bool = False,
        ledger_id: Callable[[Lease], bytes] | None = None,
    ) -> None:
        self._connect = connect
        self._broker_url = broker_url
        self._signature = signature
        self._to_rows = to_rows
        self._create = create
        self._bare = bare
        self._ledger_id = ledger_id
        self._lock = threading.Lock()
        self._idle: list[Sink] = []
        self._settled: list[bytes] = []
        self._away_since: float | None = None
        #: Whether rows and endings are one transaction; found out at the first call, since it takes two URLs apart.
        self._is_joint: bool | None = None
        self._decoder = msgspec.msgpack.Decoder(tuple[msgspec.Raw, int, list[int] | None])

    def bundle(self, leases: Sequence[Lease], joining: Joining | None) -> list[Outcome | Exception]:
        """See `sharing.Writer`."""
        found: dict[int, Outcome | Exception] = {}
        rows = Rows()
        failed: set[str] = set()
        for index, lease in enumerate(leases):
            if lease.gate in failed:
                # Nothing of a key goes in before what is ahead of it.
                found[index] = Outcome(lease, Ending.RELEASED)
                continue
            try:
                rows.add(index, self._rows_of(lease.payload))
            except Exception as error:  # noqa: BLE001
                found[index] = error
                if lease.gate is not None:
                    failed.add(lease.gate)
        try:
            with self._sink(rows) as sink:
                if joining is not None and self._joint(sink):
                    found.update(self._write_together(sink, leases, rows, joining))
                elif rows.owners:
                    refused = rows.refused(
                        self._write_jobs(sink, [leases[each].id for each in rows.owners], rows.payload)
                    )
                    found.update((owner, _ended(leases[owner], reason)) for owner, reason in refused.items())
        except StoreError as error:
            return [found.get(index) or self._away(lease, error) for index, lease in enumerate(leases)]
        return [found.get(index) or succeeded(lease, _TERMS) for index, lease in enumerate(leases)]

    def row(self, lease: Lease, policy: Policy, joining: Joining | None) -> Outcome:
        """See `sharing.Writer`: one entry of the ledger stands for all of a packed row."""
        try:
            items, first, numbers = self._decoder.decode(lease.payload)
        except _UNFIT as error:
            raise PayloadError(str(error)) from None
        packed = _PackedRow(lease, items, first, numbers, bare=self._bare)
        payload = packed.make(self._rows_of)

        def ended(written: Written) -> Outcome:
            return packed.ended(written, self._signature, policy)

        try:
            with self._sink(packed.rows) as sink:
                if joining is not None and self._joint(sink):
                    outcomes, stale = _together(sink, payload, lambda written: [ended(written)], joining)
                    # One whose job is another's by now is handed in as it is: this comes too late, and is reported so.
                    return Outcome(lease, Ending.RELEASED) if stale else outcomes[0]
                if self._ledger_id is not None:
                    return ended(sink.write(self._ledger_id(lease), payload))
                count = lease.items if packed.rows is None else len(packed.rows.owners)
                return ended(self._write_jobs(sink, [lease.id] * count, payload) if count else Written(0, []))
        except StoreError as error:
            if self._ledger_id is not None:
                raise
            return self._away(lease, error)

    def _away(self, lease: Lease, error: StoreError) -> Outcome:
        """The database is to blame and no job: all wait for it, about as long as it has been away, and burn no attempt."""
        now = time.monotonic()
        if self._away_since is None:
            self._away_since = now
        wait = min(_LONGEST_WAIT, max(_SHORTEST_WAIT, now - self._away_since))
        failure = Failure(type(error).__name__, str(error))
        return Outcome(lease, Ending.SNOOZE, delay=wait * random.uniform(0.5, 1.0), failure=failure)

    def settled(self, ids: Sequence[bytes]) -> None:
        """See `sharing.Writer`: they leave the ledger with a later write, or at the end."""
        if self._ledger_id is None:
            with self._lock:
                self._settled += ids

    def close(self) -> None:
        """See `sharing.Writer`."""
        with self._lock:
            sinks, self._idle = self._idle, []
            settled, self._settled = self._settled, []
        for sink in sinks:
            if settled:
                # What stays is found by its age.
                with suppress(StoreError):
                    sink.forget_jobs(settled)
                settled = []
            sink.close()

    @contextmanager
    def _sink(self, rows: Rows | None) -> Iterator[Sink]:
        with self._lock:
            sink = self._idle.pop() if self._idle else None
        if sink is None:
            sink = self._connect()
        try:
            if self._create and rows is not None and rows.owners:
                if not sink.exists():
                    sink.create(msgspec.msgpack.decode(rows.payload))
                self._create = False
            yield sink
            self._away_since = None
        finally:
            with self._lock:
                self._idle.append(sink)

    def _joint(self, sink: Sink) -> bool:
        if self._is_joint is None:
            self._is_joint = sink.shares(self._broker_url())
        return self._is_joint

    def _rows_of(self, payload: bytes) -> list[bytes]:
        """A job's rows, each a msgpack map."""
        if self._to_rows is None and payload[:1] == _ONE_ARGUMENT and _is_map(payload[1:2]):
            # Its bytes are put between those of other jobs: what is cut off, or goes on behind its end, would spoil theirs. 0.13 us.
            try:
                _whole(payload)
            except _UNFIT as error:
                raise PayloadError(str(error)) from None
            return [payload[1:]]
        (item,) = msgspec.structs.astuple(self._signature.decode(payload))
        made = item if self._to_rows is None else self._to_rows(item)
        if made is None:
            return []
        encoded = [_encode(each) for each in (made if isinstance(made, (list, tuple)) else (made,))]
        for each in encoded:
            if not _is_map(each[:1]):
                raise PayloadError("a row is a dict, a msgspec Struct or a dataclass, with a field for each column")
        return encoded

    def _write_jobs(self, sink: Sink, ids: Sequence[bytes], payload: bytes) -> Written:
        settled: list[bytes] = []
        with self._lock:
            if len(self._settled) >= _FORGOTTEN_TOGETHER:
                settled, self._settled = self._settled, settled
        try:
            return _patiently(lambda: sink.write_jobs(ids, payload, ended=settled))
        except BaseException:
            with self._lock:
                self._settled += settled
            raise

    def _write_together(self, sink: Sink, leases: Sequence[Lease], rows: Rows, joining: Joining) -> dict[int, Outcome]:
        """Write into the database that the jobs are in: they end by the commit of their rows.

        A job that is another's by now takes its rows out of the transaction, which is tried again without it.
        """
        found: dict[int, Outcome] = {}
        while rows.owners:
            part, owners = rows, list(dict.fromkeys(rows.owners))

            def ended(written: Written, part: Rows = part, owners: Sequence[int] = owners) -> list[Outcome]:
                refused = part.refused(written)
                return [_ended(leases[owner], refused.get(owner)) for owner in owners]

            outcomes, stale = _patiently(lambda: _together(sink, part.payload, ended, joining))  # noqa: B023
            if not stale:
                return {**found, **dict(zip(owners, outcomes, strict=True))}
            late = {owner for owner in owners if leases[owner].id in {outcome.lease.id for outcome in stale}}
            found.update((owner, Outcome(leases[owner], Ending.RELEASED)) for owner in late)
            rows = rows.without(late)
        return found


class _PackedRow:
    """A packed row of items that are to be rows."""

    def __init__(self, lease: Lease, items: msgspec.Raw, first: int, numbers: list[int] | None, *, bare: bool) -> None:
        self._lease = lease
        self._items = items
        self._first = first
        self._numbers = numbers
        self._bare = bare
        self._errors: dict[int, Exception] = {}
        self.rows: Rows | None = None

    def make(self, rows_of: Callable[[bytes], list[bytes]]) -> bytes:
        """Make the rows; returns them as `Sink.write` takes them."""
        if self._bare:
            return bytes(self._items)
        self.rows = Rows()
        for index, item in enumerate(self._arguments()):
            try:
                self.rows.add(index, rows_of(bytes(item)))
            except Exception as error:  # noqa: BLE001
                self._errors[index] = error
        return self.rows.payload

    def ended(self, written: Written, signature: Signature, policy: Policy) -> Outcome:
        """How it ends: the items that could not be made rows, or were refused, leave it as jobs of their own."""
        if self.rows is None:
            refused = {each.index: each.reason for each in written.rejected}
        else:
            refused = self.rows.refused(written)
        lease = self._lease
        if not refused and not self._errors:
            return succeeded(lease, _TERMS)
        items = self._arguments()
        row = RunningRow(_Packable(signature), policy, lease, Packed(items, self._first, self._numbers))
        for index in range(len(items)):
            row.index = index
            if index in refused:
                row.die(Failure("Rejected", refused[index]))
            elif index in self._errors:
                row.leave(self._errors[index], format_traceback(self._errors[index]))
            else:
                row.done()
        return row.whole()

    def _arguments(self) -> list[msgspec.Raw]:
        """Each item as the one argument of a job."""
        items = msgspec.msgpack.decode(self._items, type=list[msgspec.Raw])
        return [msgspec.Raw(_ONE_ARGUMENT + bytes(item)) for item in items] if self._bare else items


class _Packable(msgspec.Struct, frozen=True):
    """See `rows.Packable`."""

    signature: Signature


def _together(
    sink: Sink, payload: bytes, ended: Callable[[Written], list[Outcome]], joining: Joining
) -> tuple[list[Outcome], list[Outcome]]:
    """Write, and end the jobs by the same commit; returns the outcomes, which are then in the store, and those that
    came too late: if there are any, nothing was written.
    """
    outcomes: list[Outcome] = []
    stale: list[Outcome] = []
    with joining() as end_within:

        def end(tx: object, written: Written) -> bool:
            outcomes[:] = ended(written)
            stale[:] = end_within(outcomes, tx)
            return not stale

        sink.write_with(payload, end)
    return [msgspec.structs.replace(outcome, committed=True) for outcome in outcomes], stale


def _ended(lease: Lease, refused: str | None) -> Outcome:
    return succeeded(lease, _TERMS) if refused is None else dead(lease, Failure("Rejected", refused))


def _patiently(write: Callable[[], T]) -> T:
    """Write, and try again a few times where the database was away for a moment."""
    for wait in _WAITS:
        try:
            return write()
        except StoreUnavailable:
            time.sleep(wait * random.uniform(0.5, 1.5))
    return write()


def _is_map(first: bytes) -> bool:
    """Is this the first byte of a msgpack map?"""
    return b"\x80" <= first <= b"\x8f" or first in (b"\xde", b"\xdf")
