"""Publish and subscribe, as an app does it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, TypeVar, Unpack, cast, overload

from msgspec.structs import replace

from penstock.brokers.base import Broker
from penstock.client import Client
from penstock.core.topics import Subscription
from penstock.declare import TaskOptions, declare
from penstock.errors import ConfigError
from penstock.handler import HandlerDecorator, subscriptions
from penstock.task import Task
from penstock.topic import Topic

T = TypeVar("T")


class Topics(ABC):
    """The half of an app that is about events."""

    tasks: dict[str, Task[Any, Any]]

    @abstractmethod
    def add(self, task: Task[Any, Any]) -> None:
        """Have a task."""

    @abstractmethod
    def _find_client(self) -> Client:
        """The way into the store."""

    @overload
    def topic(self, name: str) -> Topic[Any]: ...
    @overload
    def topic(self, name: str, kind: type[T]) -> Topic[T]: ...

    def topic(self, name: str, kind: type[Any] | None = None) -> Topic[Any]:
        """Where events of one topic are published.

        Parameters:
            name: words with dots between them, such as "orders.filled".
            kind: what its events are, for type checkers; handlers check what they get themselves.
        """
        return Topic(name, self._find_client, lambda: self.subscriptions)

    def subscribe(self, *patterns: str, group: str, **options: Unpack[TaskOptions]) -> HandlerDecorator:
        """Have a function, or a task, handle the events of some topics, each once.

        A function becomes a task. It has one parameter, the event; where it has a second one, `topic`, it gets that as well. Of a batch task
        or a sink, each event is one item. The subscription is kept by the broker from the first start of a worker
        of this app on, and for as long as nobody removes it: what is published while no worker runs waits for the next one.

        Parameters:
            patterns: topics' names; `*` stands for any one word, and `#` for any number of words.
            group: each event goes to each group once, whichever of its workers takes it; and, in a group of several
                handlers, to each of these.
            options: those of `task`, for a function, but for unique and limit_key; the queue is the group's name without.
        """

        def decorate(function: Any) -> Any:
            task = function
            if not isinstance(function, Task):
                task = declare(function, self._find_client, kind=Task, **options)
            elif options or self.tasks.get(function.name) is not function:
                raise ConfigError(
                    f"{function.name} is a task: give its options to that, and subscribe it in its own app"
                )
            found = subscriptions(task, patterns, group)
            task.subscriptions = found
            task.sending = replace(task.sending, queue=found[0].queue)
            if task is not function:
                self.add(task)
            return task

        return cast(HandlerDecorator, decorate)

    @property
    def subscriptions(self) -> list[Subscription]:
        """Those of the app's own handlers, whether the broker knows them yet or not."""
        return [one for task in self.tasks.values() for one in task.subscriptions]

    def register(self, broker: Broker) -> int:
        """Have a broker keep the app's subscriptions, as every worker does when it starts; returns how many were not there so.

        Raises:
            MissingFeature: the broker has no topics, and the app has subscriptions.
        """
        wanted = self.subscriptions
        if not wanted:
            return 0
        known = set(broker.subscriptions())
        new = [one for one in wanted if one not in known]
        if new:
            broker.subscribe(new)
        return len(new)
