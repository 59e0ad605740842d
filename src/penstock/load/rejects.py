"""The records that were refused, as a file beside the source: one JSON object a line, in the order of the source."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from penstock.app import Penstock
from penstock.brokers.inspect import Selection
from penstock.core.job import JobRecord
from penstock.core.packed import Packed
from penstock.core.sealed import unsealed
from penstock.core.states import State
from penstock.load.files import STDIN
from penstock.load.plan import Plan

_PAGE = 1000


class Reject(msgspec.Struct, frozen=True, omit_defaults=True):
    """One refused record: where it stood, why it was refused, and what it held."""

    line: int
    reason: str
    record: Any
    task_id: Any = None


def rejects_path(source: str) -> str:
    """Where the rejects of a source go."""
    return f"{'stdin' if source == STDIN else source}.rejects.jsonl"


def rejects(app: Penstock, batch: bytes, plan: Plan) -> Iterator[Reject]:
    """The refused records of a load, in no order."""
    names = app.find(plan.to.rpartition(".")[2]).signature.names if plan.to is not None else []
    after: bytes | None = None
    while True:
        with app.inspector() as inspector:
            page = inspector.list(Selection(batch=batch, state=State.DEAD), limit=_PAGE, after=after)
        if not page:
            return
        for job in page:
            yield from _rejects_of(job, names)
        after = page[-1].id


def _rejects_of(job: JobRecord, names: Sequence[str]) -> Iterator[Reject]:
    """What a dead letter held: one record, or all of a row that could not be written as a whole."""
    if not job.packed:
        yield _reject(job, msgspec.msgpack.decode(unsealed(job.payload)), job.item or 0, names)
        return
    packed = msgspec.msgpack.decode(unsealed(job.payload), type=Packed[Any])
    for index, item in enumerate(packed.items):
        yield _reject(job, item if isinstance(item, list) else [item], packed.number(index), names)


def _reject(job: JobRecord, arguments: list[Any], line: int, names: Sequence[str]) -> Reject:
    record = arguments[0] if len(arguments) == 1 else dict(zip(names, arguments, strict=False))
    reason = "" if job.failure is None else str(job.failure)
    for ours in ("Rejected: ", "BadRecord: "):
        reason = reason.removeprefix(ours)
    task_id = record.get("task_id") if isinstance(record, dict) else None
    return Reject(line, reason, record, task_id)


def export_rejects(app: Penstock, batch: bytes, plan: Plan, expected: int) -> str | None:
    """Write the rejects file anew and whole; returns its path, or None (and no file) when nothing was refused.

    Parameters:
        expected: how many records were refused. Where fewer are found, an earlier run was killed as it cleared them
            away, and the file it had written by then is left as it is.
    """
    path = rejects_path(plan.source)
    if not expected:
        with suppress(FileNotFoundError):
            os.unlink(path)
        return None
    found = sorted(rejects(app, batch, plan), key=lambda reject: reject.line)
    if len(found) < expected and os.path.exists(path):
        return path
    part = f"{path}.part"
    with open(part, "wb") as file:
        file.writelines(msgspec.json.encode(reject) + b"\n" for reject in found)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
    return path
