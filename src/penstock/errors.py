"""Every error Penstock raises, in one tree.

    PenstockError
    ├── ConfigError            a setting, URL or option that can't be used
    │   ├── MissingExtra       an optional dependency is not installed
    │   └── MissingFeature     a task needs what its broker does not have
    ├── TaskError              about tasks and their jobs
    │   ├── UnknownTask        no task of that name
    │   ├── UnknownJob         no job of that id
    │   ├── UnknownSchedule    no schedule of that name
    │   ├── UnknownWorkflow    no workflow of that id
    │   ├── JobMoved           it is in another store since `penstock move`
    │   ├── JobFailed          waited for a job that became a dead letter
    │   ├── JobCancelled       waited for a job that was cancelled; raised in one that runs, too
    │   ├── LeaseLost          a job runs on that was given to another worker
    │   ├── TimeLimitExceeded  a job ran longer than its timeout
    │   ├── MemoryLimitExceeded  a job took more memory than it may
    │   ├── BatchError         some of the jobs of a batch failed; raised by the batch task itself
    │   └── ResultTimeout      the job did not end within the timeout
    ├── PayloadError           bytes that can't be decoded, or arguments of the wrong type
    ├── StoreError             the database or broker refused
    │   ├── StoreUnavailable   can't be reached now: worth another try
    │   ├── StoreReadOnly      may not be written
    │   ├── StoreFull          no space left
    │   ├── StoreCorrupt       not a database, or a damaged one
    │   ├── SchemaTooNew       written by a newer Penstock
    │   └── UnsafeFilesystem   a network file system can't hold a shared SQLite file
    ├── SourceError            a file to load can't be read
    └── SinkError              a place to load into can't be written
        └── RowRejected        the database refused one row

Control flow inside a task (`Retry`, `Snooze`, `GiveUp`) is not an error and lives in `penstock.core.control`.
"""

from __future__ import annotations

from collections.abc import Mapping


class PenstockError(Exception):
    """The base of every error raised by Penstock."""


class ConfigError(PenstockError):
    """A setting, URL or option can't be used as given."""


class MissingExtra(ConfigError):
    """An optional dependency is not installed; the message names the command that installs it."""


class MissingFeature(ConfigError):
    """A task asks for something that its broker can't do."""


class TaskError(PenstockError):
    """Something is wrong with a task or with one of its jobs."""


class UnknownTask(TaskError):
    """No task of that name is registered."""


class UnknownJob(TaskError):
    """No job of that id is stored."""


class UnknownSchedule(TaskError):
    """The store keeps no schedule of that name."""


class UnknownWorkflow(TaskError):
    """No workflow of that id is stored."""


class JobMoved(TaskError):
    """The job, or batch, has been moved to another store; the message says which."""


class JobFailed(TaskError):
    """The job became a dead letter; `traceback` is the remote one, as text."""

    def __init__(self, message: str, traceback: str = "") -> None:
        super().__init__(message)
        self.traceback = traceback


class JobCancelled(TaskError):
    """The job was cancelled. Raised in whoever waits for its result, and in the job itself where it runs."""


class LeaseLost(TaskError):
    """The job was given to another worker, since this one was taken for dead: what it does from here on counts for nothing."""


class TimeLimitExceeded(TaskError, TimeoutError):
    """The job ran longer than its `timeout`. Raised in the job itself, which may catch it and has `kill_after` seconds."""


class MemoryLimitExceeded(TaskError, MemoryError):
    """The process of a job took more than the job's `memory`, and was killed."""


class BatchError(TaskError):
    """Raised by a batch task: these of its items failed, and all others are done.

    Parameters:
        errors: what went wrong, by the item's index in the list that the task was called with. `Retry`, `Snooze` and
            `GiveUp` mean what they mean in any task.
    """

    def __init__(self, errors: Mapping[int, Exception]) -> None:
        self.errors = dict(errors)
        super().__init__(f"{len(self.errors)} of the batch failed")


class ResultTimeout(TaskError, TimeoutError):
    """The job did not end within the timeout."""


class PayloadError(PenstockError):
    """Bytes that can't be decoded, or arguments that don't fit the task's type hints."""


class StoreError(PenstockError):
    """The database or broker refused an operation."""


class StoreUnavailable(StoreError):
    """The database or broker can't be reached, or was busy too long; another try may succeed."""


class StoreReadOnly(StoreError):
    """The database may not be written."""


class StoreFull(StoreError):
    """The disk or the database's quota is full; nothing was written."""


class StoreCorrupt(StoreError):
    """The file is no database, or a damaged one."""


class SchemaTooNew(StoreError):
    """The tables were written by a newer version of Penstock."""


class UnsafeFilesystem(StoreError):
    """The file lies on a network file system, where SQLite's locks do not hold."""


class SourceError(PenstockError):
    """A file to load can't be read."""


class SinkError(PenstockError):
    """A place to load into can't be written."""


class RowRejected(SinkError):
    """The database refused a row for what the row holds; the message is the database's own.

    `index` is which of the rows written together it was, where the database tells.
    """

    def __init__(self, message: str, index: int | None = None) -> None:
        super().__init__(message)
        self.index = index
