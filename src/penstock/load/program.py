"""What the processes of a load run: one reads slices of the file into the queue, the others write its rows."""

from __future__ import annotations

import gc
from contextlib import closing
from functools import partial
from typing import Any

import msgspec

from penstock.app import Penstock, load_app
from penstock.batch_task import declare_sink
from penstock.client import new_ids
from penstock.core.backoff import Backoff
from penstock.core.codec import Signature
from penstock.core.control import Continue
from penstock.core.job import Failure, NewJob
from penstock.core.outcome import Step
from penstock.core.packed import pack, row_size, rows
from penstock.errors import ConfigError, SinkError, SourceError
from penstock.load.infer import with_numbers
from penstock.load.plan import READ, WRITE, Plan, Progress
from penstock.load.slices import RAW_CHARACTERS, Slice
from penstock.load.sources import Source
from penstock.sinks import open_sink
from penstock.task import Task

#: Records that are read for one transaction, and their text in bytes.
_SLICE_RECORDS = 16_000
_SLICE_BYTES = 8 << 20
#: Rows of records that may wait in the queue; with more, reading waits.
_DEEPEST = 64
_NEVER_GIVE_UP = 1_000_000
_NEVER = 10 * 365 * 86400.0
_encoder = msgspec.msgpack.Encoder()


def build(plan: str) -> Penstock:
    """The app of a load's own processes; `plan` is a Plan as JSON."""
    # Records are trees: there is nothing in them for the collector of cycles, which took a fifth of the time of reading.
    gc.set_threshold(100_000, 50, 100)
    told = msgspec.json.decode(plan, type=Plan)
    app = Penstock(told.queue) if told.to is None else load_target(told.to)[0]
    reader = _Reader(app, told)
    # What a reader can't read it can't read on the next attempt either; the store may come back.
    app.task(name=READ, queue=told.read_lane, retries=8, give_up=(SourceError, SinkError, ConfigError))(reader.read)
    if told.into is not None:
        # A store that is full or away comes back; a table that refuses a row as a whole does not change its mind.
        wait = Backoff(first=0.5, longest=15.0)
        task = declare_sink(
            None,
            lambda: app.client,
            {
                "name": WRITE, "queue": told.lane, "retries": _NEVER_GIVE_UP, "backoff": wait,
                "give_up": (SinkError, ConfigError),
            },
            partial(open_sink, told.into, told.target),
            {},
            bare=True,
            ledger_id=lambda lease: ledger_key(lease.batch or b"", lease.id),
        )  # fmt: skip
        app.add(task)
    return app


def load_target(to: str) -> tuple[Penstock, Any]:
    """The app and the task that "package.module:app.task" names."""
    target, dot, name = to.rpartition(".")
    if ":" not in target or not dot:
        raise ConfigError(f"--to takes package.module:app.task, not {to!r}")
    app = load_app(target)
    return app, app.find(name)


class _Reader:
    """Reads the next slice each time its job runs; the open file is kept in between."""

    def __init__(self, app: Penstock, plan: Plan) -> None:
        self._app = app
        self._plan = plan
        self._source: Source | None = None
        self._signature: Signature | None = None
        self._target: Task[Any, Any] | None = None
        self._queue, self._task = plan.lane, WRITE
        if plan.to is not None:
            _, task = load_target(plan.to)
            self._target = task
            self._queue, self._task, self._signature = task.sending.queue, task.name, task.signature

    def read(self, progress: Progress) -> None:
        """Read one slice, and go on with the rest in the next run."""
        self._app.client.wait_for_room(self._queue, _DEEPEST)
        source = self._open(progress)
        slice = source.read(_SLICE_RECORDS, _SLICE_BYTES)
        if progress.position is None and slice.records and self._plan.create and self._plan.into is not None:
            _create_table(self._plan, slice)
        jobs, sizes = self._rows(progress, slice)
        bad = [self._dead(progress.batch, each.line, each.raw, Failure("BadRecord", each.reason)) for each in slice.bad]
        after = msgspec.structs.replace(
            progress,
            position=slice.position,
            consumed=source.consumed(),
            size=source.size,
            sizes=sizes,
            end=slice.end,
        )
        failed = len(bad) + sum(job.dead for job in jobs)
        step = Step(progress.batch, failed=failed, total=len(slice.records) + len(bad))
        raise Continue(_encoder.encode((after,)), [*jobs, *bad], [step], in_=_NEVER if slice.end else 0.0)

    def _open(self, progress: Progress) -> Source:
        if self._source is not None and self._source.position != progress.position and progress.position is not None:
            self._source.close()
            self._source = None
        if self._source is None:
            self._source = Source.open(self._plan.source, format=self._plan.format, position=progress.position)
        return self._source

    def _rows(self, progress: Progress, slice: Slice) -> tuple[list[NewJob], dict[int, int]]:
        sizes = dict(progress.sizes)
        jobs: list[NewJob] = []
        packs = self._target is None or self._target.packs
        spans = list(rows(len(slice.records), row_size(len(slice.records), self._plan.workers) if packs else 1))
        for id, span in zip(new_ids(len(spans)), spans, strict=True):
            items: list[Any] = slice.records[span.start : span.stop]
            lines = slice.lines[span.start : span.stop]
            if self._signature is not None:
                items, lines = self._arguments(progress.batch, items, lines, jobs)
            try:
                payload = pack(items, lines)
            except (OverflowError, ValueError, TypeError):
                items, lines = self._storable(progress.batch, items, lines, jobs)
                payload = pack(items, lines)
            if not items and not packs:
                continue
            sizes[len(items)] = sizes.get(len(items), 0) + 1
            jobs.append(self._row(id, progress.batch, payload, items))
        return jobs, sizes

    def _row(self, id: bytes, batch: bytes, payload: bytes, items: list[Any]) -> NewJob:
        gate = None if self._target is None or not items else self._target.gate_of(items[0])
        return NewJob(id, self._task, payload, self._queue, batch=batch, items=len(items), packed=True, gate=gate)

    def _arguments(
        self, batch: bytes, records: list[Any], lines: list[int], jobs: list[NewJob]
    ) -> tuple[list[Any], list[int]]:
        """Records as arguments: whole for a task of one parameter, else each field for the parameter of its name."""
        signature = self._signature
        assert signature is not None
        single = len(signature.names) == 1
        bound: list[Any] = []
        numbers: list[int] = []
        for record, line in zip(records, lines, strict=True):
            try:
                arguments = signature.bind((record,), {}) if single else signature.bind((), record)
                if self._target is not None:
                    self._target.gate_of(arguments)
                bound.append(arguments)
                numbers.append(line)
            except TypeError as error:
                jobs.append(self._dead(batch, line, record, Failure("TypeError", str(error))))
        return bound, numbers

    def _storable(
        self, batch: bytes, items: list[Any], lines: list[int], jobs: list[NewJob]
    ) -> tuple[list[Any], list[int]]:
        """The items that can be stored; one with an integer of more than 64 bits, say, can't."""
        kept: list[tuple[Any, int]] = []
        for item, line in zip(items, lines, strict=True):
            try:
                _encoder.encode(item)
                kept.append((item, line))
            except (OverflowError, ValueError, TypeError) as error:
                jobs.append(self._dead(batch, line, repr(item)[:RAW_CHARACTERS], Failure("BadRecord", str(error))))
        return [item for item, _ in kept], [line for _, line in kept]

    def _dead(self, batch: bytes, line: int, record: Any, failure: Failure) -> NewJob:
        payload = _encoder.encode([record])
        return NewJob(
            new_ids(1)[0], self._task, payload, self._queue, batch=batch, item=line, failure=failure, dead=True
        )


def ledger_key(batch: bytes, row: bytes) -> bytes:
    """What a sink's ledger knows a row by: the load first, so that a whole load can be forgotten at its end."""
    return batch + row


def _create_table(plan: Plan, slice: Slice) -> None:
    with closing(open_sink(str(plan.into), plan.target)) as sink:
        if not sink.exists():
            sink.create(with_numbers(slice.records) if slice.position.format == "csv" else slice.records)
