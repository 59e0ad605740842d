"""Handlers: tasks that get the events of some topics."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ParamSpec, TypeVar, overload

from msgspec.structs import replace

from penstock.core.job import DEFAULT_QUEUE
from penstock.core.limiter import gate
from penstock.core.topics import Subscription, check_pattern
from penstock.errors import ConfigError
from penstock.sending import check_sending
from penstock.task import Task

P = ParamSpec("P")
R = TypeVar("R")
AnyTask = TypeVar("AnyTask", bound=Task[Any, Any])


class HandlerDecorator:
    """The type of `@app.subscribe(...)`; never made."""

    @overload
    def __call__(self, function: AnyTask, /) -> AnyTask: ...
    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Task[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Task[P, R]: ...
    def __call__(self, function: Any, /) -> Any:
        """A type is all there is."""
        raise TypeError("only a type")


def subscriptions(task: Task[Any, Any], patterns: Sequence[str], group: str) -> tuple[Subscription, ...]:
    """What a broker is to know for a task to get events.

    Raises:
        ConfigError: a pattern or the group makes no sense, or it is no task that could handle events.
    """
    if not patterns:
        raise ConfigError("subscribe(...) names the topics, or patterns of them")
    if not group or not group.isprintable():
        raise ConfigError(f"a group's name is printable text, not {group!r}")
    if task.subscriptions:
        raise ConfigError(f"{task.name} subscribes already: name all its patterns in one subscribe(...)")
    if not task.signature.takes_event:
        raise ConfigError(
            f"{task.name}() is called with an event: give it one parameter, or two, of which the second is topic"
        )
    if task.is_keyed:
        raise ConfigError(
            f"{task.name}: unique=, key= and limit_key= ask for a job's arguments, which whoever publishes knows nothing of"
        )
    sending = task.sending
    if sending.queue == DEFAULT_QUEUE:
        sending = replace(sending, queue=group)
        check_sending(sending)
    passes = None if task.limit is None else gate(task.name)
    return tuple(
        Subscription(group, task.name, pattern, sending.queue, sending.priority, passes, sending.at_most_once)
        for pattern in sorted({check_pattern(pattern) for pattern in patterns})
    )
