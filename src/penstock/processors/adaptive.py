"""A queue of records, and workers that write them into a table in batches as large as the queue is deep."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from types import TracebackType
from typing import Any, Self

import msgspec

from penstock.app import load_app
from penstock.core.sizing import ByDepth
from penstock.errors import ConfigError
from penstock.handles import Job
from penstock.processors.meter import meter
from penstock.processors.plan import LARGEST, PROGRAM, Plan, located
from penstock.processors.result import QueueResult, queue_result
from penstock.sinks import open_sink
from penstock.sinks.base import OnConflict, Target
from penstock.work import Workers

#: Records that are read for one commit.
_CHUNK = 50_000


class AdaptiveBatchProcessor:
    """Records go into a durable queue, and from there, each exactly once, into a table.

    How many go together is told by how deep the queue is: one at a time where fewer than 100 wait, batches of 100 up to 1,000, of
    500 up to 10,000, and of 1,000 beyond. Those that are put together, by `put_many`, are stored in such batches at once; those that are
    put one by one are gathered by the workers.

    Parameters:
        connection_string: URL of the database that is written to: `postgresql://`, `mongodb://` or `sqlite://`.
        table: its table, or collection.
        queue_name: of the queue; processors with the same share it.
        queue: URL of the database that keeps the queue; the same database without.
        rows: a function of a record, called in the workers: returns its row, a list of rows, or None for none. It is at the top of a module.
        on_conflict: what becomes of a row whose key is there already: "error", "ignore", "update" or "add".
        conflict_key: the columns of that key; without, the primary key.
        create: make the table from the first records, where there is none.
        progress: show a bar while a queue is worked off; None is where standard error is a terminal.

    Raises:
        ConfigError: an option makes no sense.
        MissingExtra: the database's driver is not installed.
    """

    def __init__(
        self,
        connection_string: str,
        table: str = "orders",
        *,
        queue_name: str = "market_orders",
        queue: str | None = None,
        rows: Callable[[Any], Any] | None = None,
        on_conflict: OnConflict | str = OnConflict.ERROR,
        conflict_key: Sequence[str] = (),
        create: bool = True,
        progress: bool | None = None,
    ) -> None:
        made, folder = ("", "") if rows is None else located(rows)
        self.plan = Plan(
            broker=queue or connection_string, queue=queue_name, url=connection_string, table=table,
            on_conflict=OnConflict(on_conflict), conflict_key=tuple(conflict_key), create=create,
            rows=made, folder=folder,
        )  # fmt: skip
        self.app = load_app(PROGRAM, self.plan.arguments)
        self._sink = self.app.find(self.plan.task)
        self._progress = progress
        self._sizing = ByDepth()
        self._sent = 0

    def batch_size(self, depth: int) -> int:
        """How many records go together where so many wait."""
        return self._sizing.next(depth, 0, 0.0).size

    def put(self, record: Any) -> Job[Any]:
        """Put one record into the queue: a dict, a msgspec Struct or a dataclass, or whatever `rows` takes.

        Raises:
            TypeError: it can't be encoded.
            StoreError: the queue's database refused it.
        """
        job = self._sink.delay(record)
        self._sent += 1
        return job

    def put_many(self, records: Iterable[Any], batch_size: int | None = None) -> int:
        """Put many records into the queue, the fastest way in; returns how many.

        Parameters:
            records: may be a generator; it is read as it is stored, and what was read is in the queue if it raises.
            batch_size: how many are written together; as many as the depth tells without.
        """
        count = 0
        for chunk in _chunks(records):
            size = batch_size or self.batch_size(len(chunk))
            if size == 1:
                self._sink.delay_many((record,) for record in chunk)
            else:
                self._sink.map(chunk, row_items=size)
            count += len(chunk)
            self._sent += len(chunk)
        return count

    @property
    def depth(self) -> int:
        """How many jobs are in the queue that have not ended: records, or the batches that `put_many` made of them."""
        with self.app.inspector() as inspector:
            counts = [each for each in inspector.count() if each.queue == self.plan.queue]
        return sum(each.ready + each.running + each.delayed for each in counts)

    def process_queue(
        self, batch_size: int | None = None, workers: int = 4, adaptive: bool | None = None
    ) -> QueueResult:
        """Work the queue off with worker processes, and return what came of it when it is empty.

        Ctrl-C lets each worker finish its batch, and then raises `KeyboardInterrupt`; the rest stays in the queue for the next time.

        Parameters:
            batch_size: records that are written together, at most.
            workers: processes.
            adaptive: fewer together while the queue is shallow; True where there is no `batch_size`.

        Raises:
            StoreError: a server can't be reached, or refuses.
            ConfigError: an option makes no sense, or the workers could not be started.
        """
        pool = self.workers(workers, batch_size, adaptive)
        began = time.monotonic()
        with meter(self.plan.table, pool.figures, self._sent or None, shown=self._progress) as show:
            pool.run_until_empty(show)
        self._sent = 0
        return self.result(pool, workers, time.monotonic() - began)

    def workers(self, workers: int, batch_size: int | None = None, adaptive: bool | None = None) -> Workers:
        """The processes that work this queue off, not started; once both databases were seen to answer.

        Parameters:
            workers, batch_size, adaptive: as `process_queue` has them.
        """
        if batch_size is not None and batch_size < 1:
            raise ConfigError(f"batch_size= is 1 or more, not {batch_size!r}")
        plan = msgspec.structs.replace(
            self.plan, batch_size=batch_size or LARGEST, adaptive=batch_size is None if adaptive is None else adaptive
        )
        target = Target(plan.table, plan.on_conflict, plan.conflict_key)
        with closing(open_sink(plan.url, target)), self.app.client.broker():
            return Workers(PROGRAM, workers, queues=[plan.queue], arguments=plan.arguments, app=self.app, quiet=True)

    def result(self, pool: Workers, workers: int, seconds: float) -> QueueResult:
        """What so many workers have done so far, in so many seconds."""
        return queue_result(
            pool.figures(), seconds=seconds, remaining=self.depth, workers=workers, peak_memory=pool.peak_bytes()
        )

    def close(self) -> None:
        """Let go of the queue."""
        self.app.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _chunks(records: Iterable[Any]) -> Iterator[list[Any]]:
    reader = iter(records)
    while chunk := list(islice(reader, _CHUNK)):
        yield chunk
