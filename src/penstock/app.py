"""The app: the one place where settings become a broker, tasks and, in a worker, running processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, Unpack, overload

from penstock import settings, shared
from penstock.batch_task import BatchDecorator, BatchOptions, BatchTask, Key, SinkTask, declare_batch, declare_sink
from penstock.batching.collector import grouped
from penstock.batching.sharing import MAX_SIZE
from penstock.brokers.inspect import Inspector
from penstock.client import Client, new_id
from penstock.core.ids import parse_id
from penstock.core.job import DEFAULT_QUEUE, Holder, Lease, NewJob
from penstock.core.limiter import Limit, queue_gate
from penstock.core.outcome import Outcome
from penstock.core.sizing import Sizing
from penstock.declare import Decorator, TaskOptions, declare
from penstock.errors import ConfigError, JobFailed, UnknownJob, UnknownTask
from penstock.handles import Job
from penstock.schedules import Scheduling
from penstock.sinks import check_scheme, open_sink
from penstock.sinks.base import OnConflict, Target
from penstock.started import StartedWorkflow, found
from penstock.task import Task
from penstock.topics import Topics

if TYPE_CHECKING:
    from penstock.worker.runner import Runner

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Penstock(Topics, Scheduling):
    """An app: tasks, and the broker their jobs go through.

    Parameters:
        url: of the broker; without it $PENSTOCK_URL, else the one in penstock.toml, else `sqlite:///penstock.db`.
        backend: URL of the store that keeps what the broker can't, where that is RabbitMQ; without it $PENSTOCK_BACKEND.
        inline: run every job at `.delay`, in the caller's thread; for tests.
        queue_limits: by queue, how often its jobs may start and how many may run, on all workers together.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        backend: str | None = None,
        inline: bool = False,
        queue_limits: Mapping[str, Limit] | None = None,
    ) -> None:
        super().__init__()
        self._queue_limits = dict(queue_limits or {})
        self.settings = settings.load(url, backend=backend, inline=inline)
        self.tasks: dict[str, Task[Any, Any]] = {}
        self._client = Client(self.settings.url, self.settings.signing)
        self._client.inline = self._run_inline if inline else None
        shared.join(self)

    @overload
    def task(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Task[P, R]: ...
    @overload
    def task(self, function: Callable[P, R], /) -> Task[P, R]: ...
    @overload
    def task(self, function: None = None, /, **options: Unpack[TaskOptions]) -> Decorator: ...

    def task(self, function: Any = None, /, **options: Unpack[TaskOptions]) -> Any:
        """Make a function a task; plain and `async def` functions alike.

        Parameters:
            name: by which jobs find the task; without it "module.function".
            queue: that its jobs go to.
            priority: 0 to 9, higher first.
            retries: attempts after a first one that failed.
            backoff: the wait before each of them, or the first wait in seconds; see `penstock.Backoff`.
            give_up: exceptions that make the job a dead letter at once.
            unique: of jobs with the same arguments, only one may wait or run; `Task.options` tells of unique_for, unique_until, replace and expires.
            result_ttl: seconds for which a return value (of at most 64 MiB) is kept; None is never stored.
            at_most_once: rather lose the job's run than run it twice: no retries, and a job whose worker died while
                it held it becomes a dead letter.
            crash_limit: process deaths after which a job becomes a dead letter.
            timeout: seconds after which `TimeLimitExceeded` is raised in the job; None is never.
            kill_after: seconds that the job has from then on; its process is killed after them.
            memory: bytes, or text such as "500M", that the job's process may have while it runs; it is killed beyond.
                A limit of time or memory that was passed is a failed attempt.
            rate_limit: "10/s", "600/m" and the like: so many jobs start in so much time, on all workers together.
            burst: jobs that may start at once after a pause; see `penstock.Limit`.
            concurrency: jobs that run at the same time, at most, on all workers together.
            limit_key: called with a job's arguments; the limits hold for the jobs of each key that it returns by themselves.
        """

        def decorate(function: Callable[..., Any]) -> Task[Any, Any]:
            task = declare(function, self._find_client, kind=Task, **options)
            self.add(task)
            return task

        return decorate if function is None else decorate(function)

    @overload
    def batch_task(self, function: Callable[[list[T]], Coroutine[Any, Any, Any]], /) -> BatchTask[T]: ...
    @overload
    def batch_task(self, function: Callable[[list[T]], Any], /) -> BatchTask[T]: ...
    @overload
    def batch_task(
        self,
        function: None = None,
        /,
        *,
        max_size: int = ...,
        max_wait: float | None = ...,
        sizing: Sizing | None = ...,
        key: Key | None = ...,
        **options: Unpack[TaskOptions],
    ) -> BatchDecorator: ...

    def batch_task(
        self,
        function: Any = None,
        /,
        *,
        max_size: int = MAX_SIZE,
        max_wait: float | None = None,
        sizing: Sizing | None = None,
        key: Key | None = None,
        **options: Unpack[TaskOptions],
    ) -> Any:
        """Make a function of a list a task each job of which is one item: jobs that are there together share a call.

        Every job is leased, retried and ended by itself. A call that raises is tried with parts of its items, until those
        that are to blame are known; errors of the network or the database are the error of all, and so is a timeout. The
        function may raise `BatchError` to say itself which items failed, and may return a list with a value for each.

        Parameters:
            max_size: jobs in one call, at most.
            max_wait: seconds that a job may wait for others. It waits only while a call is under way: see `Adaptive`.
            sizing: how many jobs go together, and when: `Adaptive()`, `ByDepth()` or `Fixed(size)`; the first without.
            key: the name of a field, or a function of an item: items with equal keys are taken in the order in which they
                were sent, on all workers, and none of them before the one ahead has ended for good.
            options: those of `task`, but for rate_limit, burst, concurrency and limit_key. `timeout` is for one call.
        """

        def decorate(function: Callable[..., Any]) -> BatchTask[Any]:
            task = declare_batch(
                function, self._find_client, options, kind=BatchTask,
                max_size=max_size, max_wait=max_wait, sizing=sizing, key=key,
            )  # fmt: skip
            self.add(task)
            return task

        return decorate if function is None else decorate(function)

    def sink(
        self,
        url: str,
        *,
        table: str,
        rows: Callable[[Any], Any] | None = None,
        on_conflict: OnConflict | str = OnConflict.ERROR,
        conflict_key: Sequence[str] = (),
        create: bool = False,
        max_size: int = MAX_SIZE,
        max_wait: float | None = None,
        sizing: Sizing | None = None,
        key: Key | None = None,
        **options: Unpack[TaskOptions],
    ) -> SinkTask[Any]:
        """A batch task that writes its items into a table, each exactly once.

        A row that the database refuses becomes a dead letter with the database's own words, and holds up no other. While
        the database is away, jobs wait for it and burn no attempt.

        Parameters:
            url: of the database: `postgresql://`, `mongodb://` or `sqlite://`.
            table: its name, or that of the collection.
            rows: called in the worker with an item, whose type it may name; returns its row, a list of rows, or None where it
                has none. A row is a dict, a msgspec Struct or a dataclass. Without it the item is its row.
            on_conflict: what becomes of a row whose key is there already: "error", "ignore", "update" or "add".
            conflict_key: the columns of that key; without, the primary key.
            create: make the table from the first rows, where there is none.
            max_size, max_wait, sizing, key, options: as `batch_task` has them; the name is "sink:TABLE" without one.

        Raises:
            ConfigError: no such scheme, or an option makes no sense.
        """
        target = Target(table, OnConflict(on_conflict), tuple(conflict_key))
        check_scheme(url)
        options.setdefault("name", f"sink:{table}")
        batch = BatchOptions(max_size=max_size, max_wait=max_wait, sizing=sizing, key=key)
        task = declare_sink(rows, self._find_client, options, partial(open_sink, url, target), batch, create=create)
        self.add(task)
        return task

    def add(self, task: Task[Any, Any]) -> None:
        """Have a task whose jobs go through this app; `ConfigError` where there is another of its name."""
        if task.name in self.tasks:
            raise ConfigError(f"there is a task {task.name!r} already: give one of them another name=")
        self.tasks[task.name] = task

    def workflow(self, id: str) -> StartedWorkflow[Any]:
        """A handle on a workflow that was started, by its id; `UnknownWorkflow` where it is not stored (any more)."""
        return found(self._client, parse_id(id))

    def _find_client(self) -> Client:
        return self._client

    @property
    def queues(self) -> tuple[str, ...]:
        """The default queue, and those that the tasks name."""
        return tuple(dict.fromkeys([DEFAULT_QUEUE, *(task.sending.queue for task in self.tasks.values())]))

    @property
    def limits(self) -> dict[str, Limit | None]:
        """What holds for each task and queue of the app, as `Broker.declare` takes it."""
        queues = (*self.queues, *self._queue_limits)
        return {name: task.limit for name, task in self.tasks.items()} | {
            queue_gate(queue): self._queue_limits.get(queue) for queue in queues
        }

    def find(self, name: str) -> Task[Any, Any]:
        """A task by its name, or by the last part of it where that is enough; `UnknownTask` otherwise."""
        if name in self.tasks:
            return self.tasks[name]
        found = [task for full, task in self.tasks.items() if full.rpartition(".")[2] == name]
        if len(found) == 1:
            return found[0]
        raise UnknownTask(f"no task {name!r}: there are {', '.join(sorted(self.tasks)) or 'none'}")

    def job(self, id: str) -> Job[Any]:
        """A handle on a job by its id, as a program has it that did not send it.

        Raises:
            UnknownJob: that is no id.
        """
        try:
            return Job(self._client, parse_id(id))
        except ValueError:
            raise UnknownJob(f"{id!r} is no job's id, which has 32 hexadecimal digits") from None

    @property
    def client(self) -> Client:
        """The way into the store, for programs that do more than call tasks."""
        return self._client

    @contextmanager
    def inspector(self) -> Iterator[Inspector]:
        """The reading and repairing side of the store, until the context ends."""
        with self._client.inspector() as inspector:
            yield inspector

    def runner(self) -> Runner:
        """What runs this app's jobs."""
        # Here, because a program that only stores jobs should not pay for what runs them.
        from penstock.worker.checking import runner_of

        return runner_of(self.tasks, self._client.signing if self._client.inline is None else None)

    def drain(self, *, delayed: bool = False, queues: Sequence[str] | None = None) -> int:
        """Run the jobs that are stored, here and now, until there are none; returns how many ran. For tests.

        Limits of rate and concurrency are lifted for it, until a worker sets them again.

        Parameters:
            delayed: run those, too, that wait for their time or for a retry.
            queues: which; all of the app's own without.
        """
        from penstock.worker.context import written_by
        from penstock.worker.scribe import Scribe

        runner, holder, ran = self.runner(), Holder(f"drain-{new_id().hex()}"), 0
        shared, scribe = runner.shared, Scribe(self._client.broker)
        most = max((sharing.max_size for sharing in shared.values()), default=1)
        outcomes: list[Outcome] = []
        with self._client.broker() as broker:
            broker.declare(dict.fromkeys(self.limits))
        try:
            while True:
                # The broker is free while a task runs: it may send jobs of its own.
                with self._client.broker() as broker:
                    scribe.settled(broker, outcomes, broker.exchange(outcomes, (), 0, holder).stale)
                    runner.settled(outcomes)
                    broker.promote(now=float("inf") if delayed else None)
                    leases = broker.exchange((), queues or self.queues, most, holder).leases
                if not leases:
                    return ran
                ran += len(leases)
                with written_by(scribe):
                    ended = [runner.run(lease) for lease in grouped(leases, shared)]
                outcomes = [each for outcome in ended for each in outcome.parts or (outcome,)]
        finally:
            runner.close()
            scribe.close()
            with self._client.broker() as broker:
                broker.depart(holder.worker)

    @contextmanager
    def elsewhere(self, url: str | None = None, *, inline: bool = False) -> Iterator[None]:
        """Until the context ends, have all of this app's jobs and events go to another broker, or run at once. For tests.

        Parameters:
            url: of the other broker; the same one without.
            inline: run every job at `.delay`, in the caller's thread.
        """
        before = self.settings
        self._settle(before.elsewhere(url, inline=inline))
        try:
            if url is not None and (self.subscriptions or self._declared):
                # No worker starts there that would.
                with self._client.broker() as broker:
                    self.register(broker)
                    self.declare_schedules(broker)
            yield
        finally:
            self._settle(before)

    def _settle(self, now: settings.Settings) -> None:
        """Take on settings; every task of the app asks its client."""
        self.settings = now
        self._client.close()
        self._client.url = now.url
        self._client.inline = self._run_inline if now.inline else None

    def close(self) -> None:
        """Disconnect from the store; the next use connects again."""
        self._client.close()

    def _run_inline(self, job: NewJob) -> None:
        """Run a job as a worker would, but now: through the codec, and raising what it raises."""
        lease = Lease(
            job.id, 0, 0, job.task, job.payload, job.queue, job.priority, options=job.options, batch=job.batch,
            items=job.items, packed=job.packed, at_most_once=job.at_most_once,
        )  # fmt: skip
        runner = self.runner()
        try:
            outcome = runner.run(lease)
        finally:
            runner.close()
        failure = outcome.failure or next((job.failure for job in outcome.follow_ups if job.failure), None)
        if failure is not None:
            raise JobFailed(str(failure), failure.traceback)
        self._client.inline_results[job.id] = outcome.result
        for follow_up in outcome.follow_ups:
            self._run_inline(follow_up)


def load_app(target: str, arguments: dict[str, str] | None = None) -> Penstock:
    """The app that "package.module:attribute" names.

    Parameters:
        target: the attribute may be an app, or a function that makes one when called with `arguments`.

    Raises:
        ConfigError: there is no such module or attribute, or it is no app.
    """
    module, colon, attribute = target.partition(":")
    if not colon:
        attribute = "app"
    try:
        found = import_module(module)
    except (Exception, SystemExit) as error:
        name = error.name if isinstance(error, ModuleNotFoundError) else None
        if name is not None and (module == name or module.startswith(f"{name}.")):
            raise ConfigError(
                f"no module {module!r} here: write package.module:app, from the folder it lies in"
            ) from None
        reason = f"{type(error).__name__}: {error}{_where_it_failed(error)}"
        raise ConfigError(f"{module} can't be imported: {reason}") from error
    try:
        app = getattr(found, attribute)
    except AttributeError:
        raise ConfigError(
            f"{module} has no {attribute!r}: write {module}:NAME with the name of its Penstock()"
        ) from None
    if arguments is not None and callable(app):
        app = app(**arguments)
    if not isinstance(app, Penstock):
        raise ConfigError(f"{target} is a {type(app).__name__}, not a Penstock app")
    shared.run_by(app)
    return app


def _where_it_failed(error: BaseException) -> str:
    """The user's own last line before the error."""
    import traceback  # with what it loads, 10 ms that only an error should cost

    if isinstance(error, SyntaxError):
        return ""  # its message says
    ours = os.path.dirname(__file__)
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "importlib" not in frame.filename and not frame.filename.startswith(ours)
    ]
    return f" ({os.path.relpath(frames[-1].filename)}, line {frames[-1].lineno})" if frames else ""
