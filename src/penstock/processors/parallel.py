"""A queue that worker processes work off in the background, until they are stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

from penstock.errors import ConfigError
from penstock.handles import Job
from penstock.processors.adaptive import AdaptiveBatchProcessor
from penstock.processors.mongodb import MongoDBQueueProcessor
from penstock.processors.postgresql import PostgreSQLQueueProcessor
from penstock.processors.result import QueueResult
from penstock.work import Workers

#: db_type -> the processor; its first parameter is the connection string.
_KINDS: dict[str, Callable[..., AdaptiveBatchProcessor]] = {
    "mongodb": MongoDBQueueProcessor,
    "postgresql": PostgreSQLQueueProcessor,
}


class ParallelQueueProcessor:
    """Worker processes that write what comes into a queue, while the program goes on.

        with ParallelQueueProcessor(db_type="postgresql") as processor:
            processor.put_many(orders)

    Parameters:
        queue_name: of the queue; producers and processors with the same share it.
        num_workers: processes.
        db_type: "mongodb" or "postgresql".
        connection_string: URL of the database; that of the processor for this database without.
        batch_size, adaptive: as `AdaptiveBatchProcessor.process_queue` has them.
        options: those of `MongoDBQueueProcessor` or `PostgreSQLQueueProcessor`.

    Raises:
        ConfigError: an option makes no sense.
    """

    def __init__(
        self,
        queue_name: str = "market_orders",
        num_workers: int = 8,
        db_type: str = "mongodb",
        connection_string: str | None = None,
        *,
        batch_size: int | None = None,
        adaptive: bool | None = None,
        **options: Any,
    ) -> None:
        if db_type not in _KINDS:
            raise ConfigError(f"db_type= is {' or '.join(map(repr, _KINDS))}, not {db_type!r}")
        if connection_string is not None:
            options["connection_string"] = connection_string
        self.processor = _KINDS[db_type](queue_name=queue_name, **options)
        self.num_workers = num_workers
        self._batch_size = batch_size
        self._adaptive = adaptive
        self._workers: Workers | None = None
        self._began = 0.0
        self._ended: QueueResult | None = None

    def start(self) -> Self:
        """Start the workers, and return when the first one is up; they work until `stop`, also while the queue is empty.

        A program that ends without `stop` goes on for them, until it is interrupted.

        Raises:
            StoreError: a server can't be reached, or refuses.
            ConfigError: they run already, or could not be started.
        """
        if self.running:
            raise ConfigError("these workers run already: stop() them first")
        workers = self.processor.workers(self.num_workers, self._batch_size, self._adaptive)
        self._began, self._ended = time.monotonic(), None
        self._workers = workers.start()
        return self

    def put(self, record: Any) -> Job[Any]:
        """See `AdaptiveBatchProcessor.put`."""
        return self.processor.put(record)

    def put_many(self, records: Iterable[Any], batch_size: int | None = None) -> int:
        """See `AdaptiveBatchProcessor.put_many`."""
        return self.processor.put_many(records, batch_size)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the queue is empty; False if it is not after `timeout` seconds."""
        return self._started.wait(timeout)

    def stop(self) -> QueueResult:
        """Let each worker finish its batch, and return what they did; what waits stays in the queue."""
        workers = self._started
        workers.stop()
        if self._ended is None:
            self._ended = self._result(workers)
            self.processor.close()
        return self._ended

    def stats(self) -> QueueResult:
        """What the workers have done since they were started. From any thread."""
        return self._ended or self._result(self._started)

    @property
    def processed(self) -> int:
        """Records that are in the database since the start; cheaper to ask than `stats`."""
        return round(self._started.figures().figures.count("done"))

    @property
    def running(self) -> bool:
        """Do the workers run?"""
        return self._workers is not None and self._workers.alive

    def _result(self, workers: Workers) -> QueueResult:
        return self.processor.result(workers, self.num_workers, time.monotonic() - self._began)

    @property
    def _started(self) -> Workers:
        if self._workers is None:
            raise ConfigError("no workers have been started: call start() first")
        return self._workers

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Wait until the queue is empty, unless something went wrong, and stop."""
        if error is None:
            self.wait()
        self.stop()
