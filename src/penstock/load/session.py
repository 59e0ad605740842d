"""One run of a load: starts or goes on, watches over it, and finishes it. The progress shown is told by the store."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import closing, suppress
from urllib.parse import quote

import msgspec

from penstock.app import Penstock
from penstock.brokers.inspect import BatchRecord, Selection
from penstock.client import new_ids
from penstock.core.codec import encode_value
from penstock.core.job import JobRecord, NewJob
from penstock.core.masking import without_password
from penstock.core.sealed import unsealed
from penstock.core.states import State
from penstock.errors import ConfigError, PenstockError, SinkError, SourceError
from penstock.events.emit import Emitter, StoreBack, StoreTrouble
from penstock.load.files import STDIN
from penstock.load.plan import READ, WRITE, Plan, Progress
from penstock.load.program import load_target
from penstock.load.rejects import export_rejects
from penstock.load.sources import Source
from penstock.sinks import open_sink
from penstock.stores.sqlite import parse
from penstock.work import Workers
from penstock.worker.lane import Lane

_ROUND_SECONDS = 0.1
#: Failed attempts of a row after which its trouble is told: the first may have been a conflict that has passed.
_TELLING = 2
#: Looks at which more was written, and nothing was refused, until the trouble counts as over.
_TAKING = 3
_MANY = 256


class Standing(msgspec.Struct, frozen=True):
    """How a load stands: what the progress bar shows. Records and seconds of this run, but `done` of all runs."""

    done: int
    failed: int
    retried: int
    seen: int
    total: int | None
    seconds: float
    records_per_second: float


class Summary(msgspec.Struct, frozen=True):
    """How a load ended.

    Parameters:
        records: that were written (or given to the task with success), in all runs.
        rejects: that were refused, listed in `rejects_file`.
        seconds, records_per_second: of this run.
        batch_sizes: how many writes of which number of records.
        peak_memory: bytes, summed over all processes of this run.
    """

    complete: bool
    records: int
    rejects: int
    rejects_file: str | None
    retries: int
    seconds: float
    records_per_second: float
    batch_sizes: dict[int, int]
    peak_memory: int
    resumed_at: int


class Session:
    """One run of a plan.

    Parameters:
        emitter: is told of processes that die and stores that refuse.
        keep_queue: the queue's file is the user's own and stays.
    """

    def __init__(self, plan: Plan, emitter: Emitter, *, keep_queue: bool) -> None:
        self.plan = plan
        self._keep_queue = keep_queue
        self._emitter = emitter
        self._refused = False
        self._growing = 0
        self._app = Penstock(plan.queue) if plan.to is None else load_target(plan.to)[0]
        self._began = time.monotonic()
        self._before = BatchRecord(b"", 0, 0, 0, 0)
        self._progress = Progress(new_ids(1)[0], manner=plan.manner)
        self._batch = self._told = self._before
        self._shown = 0.0
        arguments = {"plan": msgspec.json.encode(plan).decode()}
        reading = Lane(
            "penstock.load.program:build", 1, queues=(plan.read_lane,), arguments=arguments, quiet=True,
            stdin=plan.source == STDIN,
        )  # fmt: skip
        if plan.to is None:
            target, queue, told = reading.target, plan.lane, arguments
        else:
            target, queue, told = plan.to.rpartition(".")[0], load_target(plan.to)[1].sending.queue, None
        self._workers = Workers(
            target, plan.workers, queues=(queue,), arguments=told, app=self._app, grace=5.0, quiet=True,
            emitter=emitter, first=[reading],
        )  # fmt: skip

    def run(self, show: Callable[[Standing], None], every: float = 0.1) -> Summary:
        """Load until all is written, or until a signal stops it.

        Parameters:
            show: called with how the load stands, about once in `every` seconds.

        Raises:
            SourceError, SinkError: the file can't be read on, or the table can't be written; what was loaded stays,
                and the same command goes on from there.
        """
        self._begin()
        failure: PenstockError | None = None

        def is_through() -> bool:
            nonlocal failure
            if self._workers.stopping:
                return False
            record = self._look()
            self._tell_trouble()
            if (now := time.monotonic()) - self._shown >= every:
                self._shown = now
                show(self.standing())
            if record is None or record.state is State.DEAD:
                failure = SourceError(_reason(record, self.plan))
            return failure is not None or self._is_complete()

        self._workers.run_until(is_through, _ROUND_SECONDS)
        self._look()
        if failure is not None:
            raise failure
        return self._finish()

    def standing(self) -> Standing:
        """How the load stands now."""
        batch, seconds = self._batch, time.monotonic() - self._began
        ended = batch.done + batch.failed
        fresh = ended - self._before.done - self._before.failed
        return Standing(
            batch.done, batch.failed, batch.retried, batch.total, self._progress.estimated_total(batch.total),
            seconds, fresh / seconds if seconds else 0.0,
        )  # fmt: skip

    def _begin(self) -> None:
        """Refuse what can't work before any process starts; then start anew, or go on."""
        if self.plan.source != STDIN:
            Source.open(self.plan.source, format=self.plan.format).close()
        if self.plan.into is not None:
            with closing(open_sink(self.plan.into, self.plan.target)) as sink:
                if not self.plan.create and not sink.exists():
                    raise SinkError(
                        f"there is no table {self.plan.table} in {without_password(self.plan.into)}: --create makes one from the records"
                    )
        # Without items of its own it belongs to the batch, whose counters stay for as long as it may go on.
        job = NewJob(
            self.plan.key, READ, encode_value((self._progress,)), self.plan.read_lane,
            batch=self._progress.batch, items=0,
        )  # fmt: skip
        self._app.client.enqueue([job])
        with self._app.client.broker() as broker:
            stored = broker.inspector().get(self.plan.key)
            began = "" if stored is None else _progress_of(stored).manner
            if began and began != self.plan.manner:
                raise ConfigError(
                    f"this load began with {began}: go on so, or remove {without_password(self.plan.queue)} to begin anew"
                )
            # One that gave up in an earlier run, over a file that could not be read, gets another try.
            broker.inspector().retry(Selection(ids=(self.plan.key,)))
        self._look()
        self._before = self._batch
        self._told = self._batch

    def _look(self) -> JobRecord | None:
        """Read how far reader and writers have got; None when another run has finished the load."""
        with self._app.client.inspector() as inspector:
            record = inspector.get(self.plan.key)
            if record is None:
                return None
            self._progress = _progress_of(record)
            self._batch = inspector.batch(self._progress.batch) or BatchRecord(self._progress.batch, 0, 0, 0, 0)
        return record

    def _tell_trouble(self) -> None:
        """Say once that the database refuses all rows, until it takes some again."""
        batch, before = self._batch, self._told
        self._told = batch
        grown, retried = batch.done > before.done, batch.retried > before.retried
        if self._refused:
            # What was written just before may be counted a little after.
            self._growing = 0 if retried else self._growing + grown
            if self._growing >= _TAKING:
                self._refused = False
                self._emitter.emit(StoreBack())
            return
        if self.plan.into is None or not retried:
            return
        with self._app.client.inspector() as inspector:
            waiting = inspector.list(Selection(batch=batch.id, state=State.DELAYED, task=WRITE), limit=_MANY)
        failures = [row.failure for row in waiting if row.failure is not None and row.attempt >= _TELLING]
        if failures:
            self._refused, self._growing = True, 0
            self._emitter.emit(StoreTrouble(f"{failures[0].message}; waiting for it, and trying again"))

    def _is_complete(self) -> bool:
        return self._progress.end and self._batch.done + self._batch.failed >= self._batch.total

    def _finish(self) -> Summary:
        complete = self._is_complete()
        rejects_file: str | None = None
        if complete:
            rejects_file = export_rejects(self._app, self._progress.batch, self.plan, self._batch.failed)
        return self._summary(complete, rejects_file)

    def forget(self) -> None:
        """Clear away what only a complete load needed: the same command begins anew from then on.

        The last step of all, once the user was told of the end. A load killed before it is found complete by the
        same command; one killed after it was seen to end.
        """
        plan = self.plan
        if plan.into is not None:
            with closing(open_sink(plan.into, plan.target)) as sink:
                sink.forget(self._progress.batch)
        if plan.to is not None or self._keep_queue:
            with self._app.client.inspector() as inspector:
                if plan.to is None:
                    for state in (State.DEAD, State.CANCELLED):
                        inspector.delete(Selection(batch=self._progress.batch, state=state))
                # The reader's job is what the same command looks for, so it goes last.
                inspector.delete(Selection(ids=(plan.key,)))
        self.close()
        if plan.to is None and not self._keep_queue:
            path = parse(plan.queue).path
            # The database before its log: SQLite drops a log that it finds without one.
            for end in ("", "-wal", "-shm", "-lock"):
                with suppress(FileNotFoundError):
                    os.unlink(path + end)

    def close(self) -> None:
        """Let go of the queue."""
        self._app.close()

    def _summary(self, complete: bool, rejects_file: str | None) -> Summary:
        standing = self.standing()
        return Summary(
            complete=complete,
            records=standing.done,
            rejects=standing.failed,
            rejects_file=rejects_file,
            retries=standing.retried,
            seconds=standing.seconds,
            records_per_second=standing.records_per_second,
            batch_sizes=dict(sorted(self._progress.sizes.items(), reverse=True)),
            peak_memory=self._workers.peak_bytes(),
            resumed_at=self._before.done + self._before.failed,
        )


def _progress_of(record: JobRecord) -> Progress:
    return msgspec.msgpack.decode(unsealed(record.payload), type=tuple[Progress])[0]


def _reason(record: JobRecord | None, plan: Plan) -> str:
    if record is None:
        return f"another run has finished loading {plan.source}"
    text = "unknown" if record.failure is None else record.failure.message
    return f"{text}; what was read is kept, and the same command goes on from there"


def default_queue(source: str) -> str:
    """The URL of a queue file for a load: beside the source, or in the working folder for standard input."""
    return f"sqlite:///{quote('stdin' if source == STDIN else source)}.penstock.db"
