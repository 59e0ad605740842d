"""What a function is told as it becomes a task: the options, and the task that they make."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Literal, ParamSpec, TypedDict, TypeVar, overload

from penstock.client import Client
from penstock.core.backoff import Backoff
from penstock.core.decide import (
    DEFAULT_CRASH_LIMIT,
    DEFAULT_KILL_AFTER,
    DEFAULT_RESULT_TTL,
    DEFAULT_RETRIES,
    JobOptions,
    Policy,
)
from penstock.core.job import DEFAULT_PRIORITY, DEFAULT_QUEUE
from penstock.core.limiter import Limit
from penstock.core.sizes import parse_bytes
from penstock.sending import Sending, check_limits, check_sending
from penstock.task import Task

P = ParamSpec("P")
R = TypeVar("R")
AnyTask = TypeVar("AnyTask", bound=Task[Any, Any])


class TaskOptions(TypedDict, total=False):
    """The options of `@app.task` and `@shared_task`; `Penstock.task` says what each is."""

    name: str | None
    queue: str
    priority: int
    retries: int
    backoff: Backoff | float | None
    give_up: Sequence[type[BaseException]]
    unique: bool
    unique_for: float | None
    unique_until: Literal["started", "finished"]
    replace: bool
    expires: float | None
    result_ttl: float
    at_most_once: bool
    crash_limit: int
    timeout: float | None
    kill_after: float
    memory: int | str | None
    rate_limit: str | None
    burst: int | None
    concurrency: int | None
    limit_key: Callable[..., object] | None


def declare(
    function: Callable[..., Any],
    find_client: Callable[[], Client],
    *,
    name: str | None = None,
    queue: str = DEFAULT_QUEUE,
    priority: int = DEFAULT_PRIORITY,
    retries: int = DEFAULT_RETRIES,
    backoff: Backoff | float | None = None,
    give_up: Sequence[type[BaseException]] = (),
    unique: bool = False,
    unique_for: float | None = None,
    unique_until: Literal["started", "finished"] = "finished",
    replace: bool = False,
    expires: float | None = None,
    result_ttl: float = DEFAULT_RESULT_TTL,
    at_most_once: bool = False,
    crash_limit: int = DEFAULT_CRASH_LIMIT,
    timeout: float | None = None,
    kill_after: float = DEFAULT_KILL_AFTER,
    memory: int | str | None = None,
    rate_limit: str | None = None,
    burst: int | None = None,
    concurrency: int | None = None,
    limit_key: Callable[..., object] | None = None,
    order_key: Callable[[Any], object] | None = None,
    kind: type[AnyTask],
) -> AnyTask:
    """The task that a function makes; the options are those of `TaskOptions`, with their defaults.

    Parameters:
        find_client: finds the client that its jobs go through.
        order_key: called with a job's one argument: jobs with equal keys run in the order in which they came.
        kind: of task to make.

    Raises:
        ConfigError: an option makes no sense.
    """
    sending = Sending(
        queue=queue, priority=priority, unique=unique or None, at_most_once=at_most_once, job=JobOptions(),
        unique_for=unique_for, unique_until=unique_until, replace=replace, expires=expires,
    )  # fmt: skip
    check_sending(sending)
    wait = Backoff(first=backoff) if isinstance(backoff, (int, float)) else backoff or Backoff()
    policy = Policy(
        retries, wait, result_ttl, crash_limit, timeout, kill_after,
        None if memory is None else parse_bytes(memory), give_up=tuple(give_up),
    )  # fmt: skip
    check_limits(policy)
    full_name = name or f"{_module_name(function)}.{function.__qualname__}"
    is_limited = rate_limit is not None or burst is not None or concurrency is not None
    limit = Limit(rate_limit, concurrency, burst) if is_limited else None
    if order_key is not None:
        limit, limit_key = Limit(ordered=True), order_key
    return kind(function, full_name, find_client, sending, policy, limit, limit_key)


class Decorator:
    """The type of `@app.task(...)` and `@shared_task(...)`; never made."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Task[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Task[P, R]: ...
    def __call__(self, function: Any, /) -> Any:
        """A type is all there is."""
        raise TypeError("only a type")


def _module_name(function: Callable[..., Any]) -> str:
    """The module as workers will import it: a program run as a script has its file's name."""
    module = function.__module__
    if module != "__main__":
        return module
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is not None:
        return str(spec.name)
    path = getattr(sys.modules["__main__"], "__file__", None) or "__main__"
    return path.rpartition("/")[2].removesuffix(".py")
