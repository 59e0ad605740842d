"""Tasks: functions that can be called later, elsewhere."""

from __future__ import annotations

import copy
import inspect
import time
import typing
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cached_property, update_wrapper
from typing import Any, Generic, Literal, ParamSpec, TypeVar

import msgspec

from penstock.batching.sharing import Sharing
from penstock.canvas import Signature
from penstock.client import Client, new_id, new_ids
from penstock.core.codec import Signature as Codec
from penstock.core.codec import encode_value
from penstock.core.decide import JobOptions, Policy
from penstock.core.job import NewJob
from penstock.core.limiter import Limit, gate
from penstock.core.packed import pack, row_size, rows
from penstock.core.topics import Subscription
from penstock.errors import ConfigError
from penstock.handles import Batch, Job
from penstock.sending import Sending, check_limit, check_sending

P = ParamSpec("P")
R = TypeVar("R")

#: How many workers `.map` cuts its rows for; with more of them, some wait while the last rows run.
_MAP_WORKERS = 8
_ROWS_PER_COMMIT = 50
_FOREVER = float("inf")


class Task(Generic[P, R]):
    """A function with a name, that can be called now, or later by a worker.

    Made by `@app.task`. A plain call runs the function here; `.delay` and its kin store a job.
    """

    #: How the arguments of its jobs travel.
    signature_type: type[Codec] = Codec
    #: Whose events it handles; see `Penstock.subscribe`.
    subscriptions: tuple[Subscription, ...] = ()

    def __init__(
        self,
        function: Callable[P, R] | Callable[P, Coroutine[Any, Any, R]],
        name: str,
        find_client: Callable[[], Client],
        sending: Sending,
        policy: Policy,
        limit: Limit | None = None,
        limit_key: Callable[..., object] | None = None,
    ) -> None:
        check_limit(name, limit, limit_key)
        self.name = name
        self.limit = limit
        self._limit_key = limit_key
        self.policy = policy
        self.function = function
        self.sending = sending
        self.signature = self.signature_type(name, function)
        self.is_async = inspect.iscoroutinefunction(function)
        #: How its jobs share calls; None where each has a call of its own.
        self.sharing: Sharing | None = None
        #: Is it called with the arguments of one job, and does not await anything?
        self.is_plain = not self.is_async
        self._find_client = find_client
        update_wrapper(typing.cast(Callable[..., Any], self), function)

    @property
    def _client(self) -> Client:
        """The way into the store of the app that the task belongs to."""
        return self._find_client()

    def bound(self, find_client: Callable[[], Client]) -> Task[P, R]:
        """This task with jobs that go through another client."""
        task = copy.copy(self)
        task._find_client = find_client
        return task

    @property
    def is_keyed(self) -> bool:
        """Do a job's arguments say which others it stands for, or waits with?"""
        return bool(self.sending.unique) or self._limit_key is not None

    def share(self, sharing: Sharing) -> None:
        """Have jobs share calls."""
        self.sharing = sharing
        self.is_plain = False
        self.policy = msgspec.structs.replace(self.policy, batched=True)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Run the function here and now."""
        return self.function(*args, **kwargs)

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """Store a job that calls the function with these arguments; returns a handle on it.

        Raises:
            TypeError: the function can't be called so, or an argument can't be encoded.
            StoreError: the broker refused; nothing was stored.
        """
        sending = self.sending
        job = self._job(sending, args, kwargs, new_id())
        client = self._find_client()
        if client.inline is not None:
            return self._send([job])[0]
        (id,) = client.enqueue((job,), sending.tx)
        return Job(client, id, self._returns, self._kept)

    async def delay_async(self, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """As `delay`, without blocking the event loop; concurrent calls share commits."""
        job = self._job(self.sending, args, kwargs, new_id())
        if self._client.inline is not None or self.sending.tx is not None:
            return self._send([job])[0]
        ids = await self._client.enqueue_async([job])
        return Job(self._client, ids[0], self._returns, self._kept)

    def s(self, *args: Any, **kwargs: Any) -> Signature[R]:
        """A signature for workflows: results come before these arguments."""
        return self._sign(args, kwargs, immutable=False)

    def si(self, *args: P.args, **kwargs: P.kwargs) -> Signature[R]:
        """As `s`, for a call that takes no results."""
        return self._sign(args, kwargs, immutable=True)

    def _sign(self, args: Sequence[Any], kwargs: Mapping[str, Any], *, immutable: bool) -> Signature[R]:
        def handle(client: Client, id: bytes) -> Job[R]:
            return Job(client, id, self._returns, self._kept)

        return Signature(self, args, kwargs, immutable=immutable, find_client=self._find_client, handle=handle)

    def delay_many(self, calls: Iterable[Sequence[Any]]) -> list[Job[R]]:
        """Store one job for each tuple of positional arguments, in few commits; returns their handles in order."""
        jobs: list[Job[R]] = []
        for chunk in chunks(calls, 1000):
            ids = new_ids(len(chunk))
            jobs += self._send([self._job(self.sending, args, {}, id) for args, id in zip(chunk, ids, strict=True)])
        return jobs

    def map(self, items: Iterable[Any], *, row_items: int | None = None, max_waiting: int | None = None) -> Batch:
        """Call the task once for each item, as its one argument: the fastest way in.

        Many items share one stored row. It is claimed as a whole, and an item that fails leaves it as a job of its
        own. What the task returns is not kept.

        Parameters:
            items: may be a generator; it is read as it is stored.
            row_items: how many share a row, at most, and so a call of a batch task; without, up to 1,000, and fewer where few come
                at once, so that several workers get some.
            max_waiting: rows that may wait in the queue: while there are more, nothing is read or stored until workers have
                taken some, so that a slow database slows this down and no queue grows without end. Some 50 rows are stored at a time.

        Raises:
            ConfigError: `row_items` is not 1 or more, or `max_waiting` is below 0.
        """
        if row_items is not None and row_items < 1:
            raise ConfigError(f"row_items= is 1 or more, not {row_items!r}")
        if max_waiting is not None and max_waiting < 0:
            raise ConfigError(f"max_waiting= is 0 rows or more, not {max_waiting!r}")
        key = new_id()
        start = 0
        for chunk in chunks(items, _ROWS_PER_COMMIT * (1000 if max_waiting is None else row_items or 1000)):
            if max_waiting is not None:
                self._client.wait_for_room(self.sending.queue, max_waiting)
            arguments = self._arguments(chunk)
            size = (row_items or row_size(len(chunk), _MAP_WORKERS)) if self.packs else 1
            spans = list(rows(len(chunk), size))
            self._send(
                [
                    self._packed(id, key, arguments[span.start : span.stop], start + span.start, chunk[span.start])
                    for id, span in zip(new_ids(len(spans)), spans, strict=True)
                ]
            )
            start += len(chunk)
        return Batch(self._client, key)

    def options(
        self,
        *,
        queue: str | None = None,
        priority: int | None = None,
        delay: float | None = None,
        at: datetime | None = None,
        unique: str | bool | None = None,
        retries: int | None = None,
        result_ttl: float | None = None,
        timeout: float | None = None,
        tx: object | None = None,
        unique_for: float | None = None,
        unique_until: Literal["started", "finished"] | None = None,
        replace: bool | None = None,
        expires: float | None = None,
    ) -> Task[P, R]:
        """This task with other settings for what is sent through the task that is returned.

        Parameters:
            delay: seconds to wait before the job may run.
            at: an aware datetime to wait for instead.
            unique: a key of which only one job may wait or run at a time, or True for a key made of the arguments.
            timeout: seconds after which `TimeLimitExceeded` is raised in the job.
            tx: a connection of your own whose transaction the job is stored in.
            unique_for: seconds from the enqueue for which the unique key is held, whatever becomes of the job.
            unique_until: holds the key until the job is "started", or "finished".
            replace: a job with the key that waits takes over the arguments and the time of this one.
            expires: seconds from when it is due within which the job has to start; else it ends as a dead letter that says so.
        """
        if at is not None and at.tzinfo is None:
            raise ConfigError("at= takes a datetime with a time zone: datetime.now(timezone.utc), say")
        changes: dict[str, Any] = {
            name: value
            for name, value in {
                "queue": queue, "priority": priority, "delay": delay, "unique": unique, "tx": tx,
                "unique_for": unique_for, "unique_until": unique_until, "replace": replace, "expires": expires,
                "at": None if at is None else at.timestamp(),
            }.items()
            if value is not None
        }  # fmt: skip
        own = {"retries": retries, "result_ttl": result_ttl, "timeout": timeout}
        job = msgspec.structs.replace(
            self.sending.job, **{name: value for name, value in own.items() if value is not None}
        )
        sending = msgspec.structs.replace(self.sending, job=job, **changes)
        check_sending(sending)
        task = copy.copy(self)
        task.sending = sending
        return task

    def job(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> NewJob:
        """The job that `.delay` would store, not stored."""
        return self._job(self.sending, args, kwargs, new_id())

    def send(self, jobs: Sequence[NewJob]) -> list[Job[R]]:
        """Store jobs of this task that were made by `job`."""
        return self._send(jobs)

    def _job(self, sending: Sending, args: Sequence[Any], kwargs: Mapping[str, Any], id: bytes) -> NewJob:
        payload = self.signature.encode(args, kwargs)
        unique = sending.unique
        if unique is True:
            from hashlib import blake2b  # loads OpenSSL

            unique = f"{self.name}:{blake2b(payload, digest_size=16).hexdigest()}"
        return NewJob(
            id,
            self.name,
            payload,
            sending.queue,
            sending.priority,
            sending.delay,
            sending.at,
            unique or None,
            self._options(sending),
            at_most_once=sending.at_most_once,
            gate=None if self.limit is None else self._gate(args, kwargs),
            dedup=sending.dedup if unique else None,
        )

    def _options(self, sending: Sending) -> bytes | None:
        """What a job that is sent now has otherwise than its task, encoded."""
        if sending.expires is None:
            return None if sending.job == _NO_OPTIONS else encode_value(sending.job)
        due = time.time() + (sending.delay or 0.0) if sending.at is None else sending.at
        return encode_value(msgspec.structs.replace(sending.job, expires=due + sending.expires))

    def gate_of(self, arguments: msgspec.Struct) -> str | None:
        """The gate of a job with these arguments, where the task is limited; `TypeError` where the key of them can't be had."""
        if self.limit is None:
            return None
        try:
            return self._gate(msgspec.structs.astuple(arguments), {})
        except Exception as error:  # noqa: BLE001
            raise TypeError(f"{self.name}: limit_key= raises {type(error).__name__}: {error}") from None

    def _gate(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        """Where a job waits with those it is limited together with."""
        key = None if self._limit_key is None else self._limit_key(*args, **kwargs)
        return gate(self.name, key, ordered=self.limit is not None and self.limit.ordered)

    def _arguments(self, items: Sequence[Any]) -> list[msgspec.Struct]:
        signature = self.signature
        bind = (lambda item: signature.bind((item,), {})) if signature.variadic else signature.struct
        try:
            return [bind(item) for item in items]
        except TypeError as error:
            raise TypeError(f"{self.name}() must take one argument for .map: {error}") from None

    @property
    def packs(self) -> bool:
        """May items share a row? What starts with it starts as one, so a rate or a key asks for rows of one item each."""
        return self.limit is None or (self.limit.rate is None and self._limit_key is None)

    def _packed(self, id: bytes, batch: bytes, arguments: Sequence[Any], first: int, item: Any) -> NewJob:
        return NewJob(
            id=id,
            task=self.name,
            payload=self._pack(arguments, first),
            queue=self.sending.queue,
            priority=self.sending.priority,
            delay=self.sending.delay,
            run_at=self.sending.at,
            options=self._options(self.sending),
            batch=batch,
            items=len(arguments),
            packed=True,
            at_most_once=self.sending.at_most_once,
            gate=None if self.limit is None else self._gate((item,), {}),
        )

    def _pack(self, arguments: Sequence[msgspec.Struct], first: int) -> bytes:
        try:
            return pack(arguments, range(first, first + len(arguments)))
        except _UNPACKABLE:
            for each in arguments:
                self.signature.encode_bound(each)  # raises, and says which argument it is
            raise

    def _send(self, jobs: Sequence[NewJob]) -> list[Job[R]]:
        client, returns, kept = self._client, self._returns, self._kept
        if client.inline is not None:
            for job in jobs:
                client.inline(job)
            return [Job(client, job.id, returns, kept) for job in jobs]
        return [Job(client, id, returns, kept) for id in client.enqueue(jobs, self.sending.tx)]

    @property
    def _kept(self) -> float:
        """Seconds for which results are kept."""
        own = self.sending.job.result_ttl
        return self.policy.result_ttl if own is None else own

    @cached_property
    def _returns(self) -> Any:
        """The type to decode results as."""
        try:
            hint = typing.get_type_hints(self.function).get("return", Any)
        except NameError:
            return Any
        return Any if hint is None else hint

    def __repr__(self) -> str:
        return f"<Task {self.name}>"


_NO_OPTIONS = JobOptions()
_UNPACKABLE = (TypeError, ValueError, OverflowError, RecursionError)


def chunks(items: Iterable[Any], size: int) -> Iterable[list[Any]]:
    """Lists of so many items; the last may have fewer."""
    chunk: list[Any] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
