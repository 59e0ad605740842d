"""Subscribers: tasks whose jobs are events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

from penstock.client import Client
from penstock.core.event_signature import EventSignature
from penstock.core.topics import Subscription, check_pattern
from penstock.declare import TaskOptions, declare
from penstock.errors import ConfigError
from penstock.task import Task

P = ParamSpec("P")
R = TypeVar("R")


class Subscriber(Task[P, R]):
    """A task that gets the events of some topics: each once, whichever worker runs it."""

    signature_type = EventSignature
    #: Who shares the events: each of them goes to the group once for each of its handlers.
    group = ""
    #: The topics' names, or patterns of them.
    patterns: tuple[str, ...] = ()

    @property
    def subscriptions(self) -> list[Subscription]:
        """What a broker is to know."""
        sending = self.sending
        gate = None if self.limit is None else self._gate((), {})
        return [
            Subscription(
                self.group, self.name, pattern, sending.queue, sending.priority, gate, sending.at_most_once
            )
            for pattern in self.patterns
        ]  # fmt: skip


def declare_subscriber(
    function: Callable[..., Any],
    find_client: Callable[[], Client],
    patterns: Sequence[str],
    group: str,
    options: TaskOptions,
) -> Subscriber[Any, Any]:
    """The subscriber that a function makes.

    Parameters:
        options: those of any task; its queue is the group's name without.

    Raises:
        ConfigError: a pattern or an option makes no sense.
    """
    if isinstance(function, Task):
        raise ConfigError(f"{function.name} is a task already: name all its patterns in one subscribe(...)")
    if not patterns:
        raise ConfigError("subscribe(...) names the topics, or patterns of them")
    if options.get("unique") or options.get("limit_key") is not None:
        raise ConfigError("unique= and limit_key= ask for a job's arguments, which whoever publishes knows nothing of")
    if not group or not group.isprintable():
        raise ConfigError(f"a group's name is printable text, not {group!r}")
    options.setdefault("queue", group)
    subscriber = declare(function, find_client, kind=Subscriber, **options)
    subscriber.group = group
    subscriber.patterns = tuple(sorted({check_pattern(pattern) for pattern in patterns}))
    return subscriber
