"""A job as Redis keeps it: one packed value, whose head the scripts rewrite and whose body they leave alone.

The head is the beginning of a msgpack array with numbers of fixed width: place, time, failed attempts, crashes, state, flags. A whole list of
records is decoded in one go. `lua/shared/record.lua` is the other side of this.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import msgspec

from penstock.core.handing import takes_results
from penstock.core.job import Failure, JobRecord, Lease, NewJob
from penstock.core.states import State

_encode = msgspec.msgpack.Encoder().encode
#: From the attempts on: what stands before that, only the server knows.
_tail = struct.Struct(">BHBHBB").pack
_SHORT, _MOST = 0xCD, 0xFFFF

UNIQUE, FAILED, PACKED, ONCE, OPEN, STAGED = 1, 2, 4, 8, 16, 32
#: In `Lease.key`, beside the place: some of the flags, and whether the limit of its queue counts the job.
COUNTED = 4
EXTRAS = UNIQUE | FAILED | COUNTED
_IN_KEY = UNIQUE | FAILED | STAGED
_PLACE = 64

_READY, _DELAYED, _DEAD, _WAITING = 0, 1, 3, 5
STATES = (State.READY, State.DELAYED, State.PARKED, State.DEAD, State.CANCELLED, State.WAITING)

Stored = tuple[
    int, float, int, int, int, int, str, str, int, int, int | None, str | None, bytes | None, bytes, bytes | None
]
_decode_all = msgspec.msgpack.Decoder(list[Stored]).decode
_decode_one = msgspec.msgpack.Decoder(Stored).decode


def raw(value: bytes) -> msgspec.Raw:
    """Bytes in a message to a script, which takes them as text of any kind: Redis's reader of msgpack knows no binary type."""
    size = len(value)
    if size < 32:
        head = bytes([0xA0 | size])
    elif size < 1 << 8:
        head = struct.pack(">BB", 0xD9, size)
    elif size < 1 << 16:
        head = struct.pack(">BH", 0xDA, size)
    else:
        head = struct.pack(">BI", 0xDB, size)
    return msgspec.Raw(head + value)


def maybe_raw(value: bytes | None) -> msgspec.Raw | None:
    """The same, where there are any."""
    return None if value is None else raw(value)


def new_tail(job: NewJob, flags: int = 0) -> bytes:
    """The record of a new job from its attempts on; `flags` are beside those of its own."""
    if job.unique is not None and not job.dead:
        flags |= UNIQUE
    if job.failure is not None:
        flags |= FAILED
    if job.packed:
        flags |= PACKED
    if job.at_most_once:
        flags |= ONCE
    state = _READY
    if job.dead:
        state = _DEAD
    elif job.delay or job.run_at is not None:
        state = _DELAYED
    return _new(job, state, flags)


def alike(job: NewJob) -> bytes:
    """The record of a new job from its attempts on, up to the payload and the options: the same for all that differ in nothing but these and the id."""
    return new_tail(msgspec.structs.replace(job, payload=b"", options=None))[: -len(_encode((b"", None))) + 1]


def waiting_tail(job: NewJob) -> bytes:
    """The same, of one that waits for its stage."""
    flags = STAGED | (OPEN if takes_results(job.payload) else 0)
    return _new(job, _WAITING, flags | ONCE if job.at_most_once else flags)


def _new(job: NewJob, state: int, flags: int) -> bytes:
    head = _tail(_SHORT, min(job.attempt, _MOST), _SHORT, 0, state, flags)
    body = (job.task, job.queue, job.priority, job.items, job.item, job.gate, job.batch, job.payload, job.options)
    return head + _encode(body)[1:]


def new_body(lease: Lease, payload: bytes, items: int) -> bytes:
    """The body of a job that goes on with another payload."""
    body = (
        lease.task, lease.queue, lease.priority, items, lease.item, lease.gate, lease.batch, payload, lease.options,
    )  # fmt: skip
    return _encode(body)[1:]


def place_of(lease: Lease) -> int:
    """Where a job stands among those of its queue."""
    return lease.key // _PLACE


def leases(claim: int, ids: bytes, records: bytes, counted: bytes) -> list[Lease]:
    """What a claim gave.

    Parameters:
        ids: of the jobs, 16 bytes each.
        records: a msgpack array of theirs.
        counted: a `1` for each that the limit of its queue counts, and a `0` for others; or nothing.
    """
    made: list[Lease] = []
    start = 0
    for (
        place, _, attempt, crashes, _, flags, task, queue, priority, items, item, gate, batch, payload, options,
    ) in _decode_all(records):  # fmt: skip
        made.append(
            Lease(
                ids[start : start + 16], place * _PLACE | flags & _IN_KEY, claim, task, payload, queue, priority, attempt, crashes,
                options, batch, items, flags & PACKED > 0, item, flags & ONCE > 0, gate,
            )
        )  # fmt: skip
        start += 16
    if counted:
        made = [
            msgspec.structs.replace(lease, key=lease.key | COUNTED) if mark == ord("1") else lease
            for lease, mark in zip(made, counted, strict=True)
        ]
    return made


def leases_of(claim: int, ids: Sequence[bytes], records: Sequence[bytes], counted: Sequence[int]) -> list[Lease]:
    """The same of a claim that was made before, in its order."""
    array = struct.pack(">BI", 0xDD, len(records)) + b"".join(records)
    marks = b"".join(b"1" if mark else b"0" for mark in counted)
    return sorted(leases(claim, b"".join(ids), array, marks), key=lambda lease: (-lease.priority, place_of(lease)))


def stored(record: bytes) -> Stored:
    """What is in a record."""
    found: Stored = _decode_one(record)
    return found


def state_of(record: bytes) -> int:
    """The number of its state; a job that runs counts as ready."""
    return record[25]


def job_record(id: bytes, record: bytes, failure: bytes | None, unique: bytes | None, holder: str | None) -> JobRecord:
    """A job as the `Inspector` shows it.

    Parameters:
        holder: who runs it, if anybody does.
    """
    (
        _, at, attempt, crashes, number, flags, task, queue, priority, items, item, gate, batch, payload, _,
    ) = _decode_one(record)  # fmt: skip
    state = STATES[number] if holder is None else State.RUNNING
    return JobRecord(
        id=id, task=task, queue=queue, priority=priority, state=state, attempt=attempt, crashes=crashes,
        # The id was made together with the job, and tells when.
        created_at=int.from_bytes(id[:6], "big") / 1000, payload=payload, items=items, packed=flags & PACKED > 0, item=item, batch=batch,
        unique=None if unique is None else unique.decode(), run_at=at if state is State.DELAYED else None,
        ended_at=at if state in {State.DEAD, State.CANCELLED} else None,
        failure=None if failure is None else msgspec.msgpack.decode(failure, type=Failure), worker=holder, gate=gate,
    )  # fmt: skip
