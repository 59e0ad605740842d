"""Tasks of libraries, which do not know the app that they will run in: every app gets them."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, Protocol, TypeVar, Unpack, overload

from penstock.client import Client
from penstock.declare import Decorator, TaskOptions, declare
from penstock.errors import ConfigError
from penstock.task import Task

P = ParamSpec("P")
R = TypeVar("R")


class App(Protocol):
    """What an app gives to a shared task."""

    @property
    def client(self) -> Client:
        """The way into its store."""

    def add(self, task: Task[Any, Any]) -> None:
        """Have a task."""


_tasks: dict[str, Task[Any, Any]] = {}
_apps: weakref.WeakSet[App] = weakref.WeakSet()
#: The app that this process runs, if it runs one.
_running: list[weakref.ref[App]] = []


@overload
def shared_task(function: Callable[P, Coroutine[Any, Any, R]], /) -> Task[P, R]: ...
@overload
def shared_task(function: Callable[P, R], /) -> Task[P, R]: ...
@overload
def shared_task(function: None = None, /, **options: Unpack[TaskOptions]) -> Decorator: ...


def shared_task(function: Any = None, /, **options: Unpack[TaskOptions]) -> Any:
    """Make a function of a library a task of every app there is, and of every one that is made later.

    Its jobs go through the app of the program. Where a program has several, the one that a worker was started with is
    meant; elsewhere `app.find(name)` says which.

    Parameters:
        options: those of `Penstock.task`.
    """

    def decorate(function: Callable[..., Any]) -> Task[Any, Any]:
        task = declare(function, lambda: _client_for(task.name), kind=Task, **options)
        if task.name in _tasks:
            raise ConfigError(f"there is a shared task {task.name!r} already: give one of them another name=")
        for app in list(_apps):
            app.add(task.bound(_of(app)))
        _tasks[task.name] = task
        return task

    return decorate if function is None else decorate(function)


def join(app: App) -> None:
    """A new app gets every shared task, and those that are still to be made."""
    for task in _tasks.values():
        app.add(task.bound(_of(app)))
    _apps.add(app)


def run_by(app: App) -> None:
    """This process runs an app: what shared tasks send from here goes through it."""
    _running[:] = [weakref.ref(app)]


def _of(app: App) -> Callable[[], Client]:
    return lambda: app.client


def _client_for(task: str) -> Client:
    """The client of the app that is meant; `ConfigError` where there is none, or no telling which."""
    running = _running[0]() if _running else None
    if running is not None:
        return running.client
    apps = list(_apps)
    if len(apps) > 1:
        # An app refers to itself, so that one nobody has any more may still be there.
        del apps
        gc.collect()
        apps = list(_apps)
    if not apps:
        raise ConfigError(f"{task} is a shared task, and there is no app yet: make one first, as app = Penstock(URL)")
    if len(apps) > 1:
        raise ConfigError(
            f"{len(apps)} apps have the shared task {task}: send by one of them, app.find({task!r}).delay(...)"
        )
    return apps[0].client
