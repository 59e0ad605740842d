"""Schedules, as an app declares them and as a program changes them while workers run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec

from penstock.brokers.base import Broker
from penstock.brokers.timetable import Timetable
from penstock.client import Client, new_id
from penstock.core.schedule import CatchUp, Entry, Schedule, of_job, run_now, with_rule
from penstock.errors import ConfigError, MissingFeature
from penstock.handles import Job
from penstock.task import Task

AnyTask = TypeVar("AnyTask", bound=Task[Any, Any])


class Declared(msgspec.Struct, frozen=True):
    """A schedule that an app's code has. Its arguments are encoded when it is first needed: their types may be defined below the task."""

    name: str
    task: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    rule: dict[str, Any]


class Scheduling(ABC):
    """The half of an app that is about schedules."""

    tasks: dict[str, Task[Any, Any]]

    def __init__(self) -> None:
        self._declared: dict[str, Declared] = {}

    @abstractmethod
    def _find_client(self) -> Client:
        """The way into the store."""

    def schedule(
        self,
        cron: str | None = None,
        *,
        every: float | None = None,
        tz: str = "UTC",
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        name: str | None = None,
        catch_up: CatchUp | str = CatchUp.ONCE,
        jitter: float = 0.0,
    ) -> Callable[[AnyTask], AnyTask]:
        """Have a task run by the clock; goes above `@app.task`, once for each schedule of the task.

        The store keeps it from the first start of a worker of this app on. What was said at run time, by `app.schedules` or
        `penstock schedules`, stays: a pause, and another rule or other arguments.

        Parameters:
            cron: minute, hour, day of the month, month and day of the week, as "*/5 * * * *"; with six fields, the first one is
                the second. "@hourly", "@daily" and the like work as well.
            every: seconds between two runs instead, counted from the epoch: of 3600, each hour on the hour.
            tz: the time zone whose clocks `cron` goes by.
            args, kwargs: that the task is called with.
            name: of the schedule; the task's without.
            catch_up: of the runs that came due while no worker was there, "once" starts the latest one, "all" starts each, and "skip"
                starts none that is late by more than a minute.
            jitter: seconds by which runs come later, at most; each schedule has a part of it as its own, which is always the same.

        Raises:
            ConfigError: it makes no sense, or another schedule of the app has its name.
        """
        rule: dict[str, Any] = {"cron": cron, "every": every, "tz": tz, "catch_up": catch_up, "jitter": jitter}

        def decorate(task: Any) -> Any:
            if not isinstance(task, Task) or task.name not in self.tasks:
                raise ConfigError("@app.schedule goes above @app.task of the same app: what it is on is no task of it")
            own = name or task.name
            if own in self._declared:
                raise ConfigError(f"there is a schedule {own!r} already: give one of them another name=")
            # The rule, at least, is looked at at once.
            with_rule(Schedule(own, task.name, b""), **rule)
            self._declared[own] = Declared(own, task.name, args, kwargs or {}, rule)
            return task

        return decorate

    @property
    def schedules(self) -> Schedules:
        """The schedules that the store keeps, to look at and to change."""
        return Schedules(self)

    @property
    def declared_schedules(self) -> list[Schedule]:
        """Those of the app's own code, whether the store keeps them yet or not.

        Raises:
            TypeError: a task can't be called with the arguments that its schedule has.
        """
        return [made(self.tasks[one.task], one.name, one.args, one.kwargs, one.rule) for one in self._declared.values()]

    def declare_schedules(self, broker: Broker) -> int:
        """Have a broker keep the schedules of the app's code, as every worker does when it starts; returns how many were new or changed by it.

        Raises:
            MissingFeature: the broker keeps no schedules, and the app has some.
        """
        wanted = self.declared_schedules
        if not wanted:
            return 0
        try:
            store = broker.schedules()
        except MissingFeature as error:
            raise MissingFeature(f"{error} (there are {', '.join(sorted(self._declared))})") from None
        return Timetable(store).declare(wanted)


def made(
    task: Task[Any, Any], name: str, args: Sequence[Any], kwargs: Mapping[str, Any], rule: Mapping[str, Any]
) -> Schedule:
    """The schedule of a task; `ConfigError` or `TypeError` where it makes no sense."""
    job, signing = task.job(args, kwargs), task._client.signing
    if signing is not None:
        from penstock.core.signing import Scope  # only where there are keys

        job = signing.job(job, Scope.TASK)
    return of_job(job, task.sending.job, name, **rule)


class Schedules:
    """The schedules that a store keeps. Made by `app.schedules`."""

    def __init__(self, app: Scheduling) -> None:
        self._app = app

    @contextmanager
    def _timetable(self) -> Iterator[Timetable]:
        with self._app._find_client().broker() as broker:
            yield Timetable(broker.schedules())

    def list(self) -> dict[str, Entry]:
        """All that there are, by their names; without those that a newer version wrote and this one can't read."""
        with self._timetable() as timetable:
            return {name: entry for name, entry in timetable.entries() if entry is not None}

    def get(self, name: str) -> Entry:
        """One of them; `UnknownSchedule` where there is none of this name."""
        with self._timetable() as timetable:
            return timetable.get(name)

    def add(
        self,
        task: Task[Any, Any],
        cron: str | None = None,
        *,
        every: float | None = None,
        tz: str = "UTC",
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        name: str | None = None,
        catch_up: CatchUp | str = CatchUp.ONCE,
        jitter: float = 0.0,
    ) -> None:
        """Keep another schedule, which no code needs to declare; the parameters are those of `Penstock.schedule`.

        Parameters:
            task: or what its `options(...)` returned.

        Raises:
            ConfigError: it makes no sense, or there is one of its name.
        """
        rule = {"cron": cron, "every": every, "tz": tz, "catch_up": catch_up, "jitter": jitter}
        wanted = made(task, name or task.name, args, kwargs or {}, rule)
        with self._timetable() as timetable:
            timetable.add(wanted)

    def change(
        self,
        name: str,
        *,
        cron: str | None = None,
        every: float | None = None,
        tz: str | None = None,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        catch_up: CatchUp | str | None = None,
        jitter: float | None = None,
    ) -> None:
        """Change what is given of a schedule. A worker's start does not undo it; `remove` and the next start do.

        Parameters:
            cron, every: either takes the other's place.
            args, kwargs: all of the arguments, instead of those that it has.

        Raises:
            UnknownSchedule: there is none of this name.
            ConfigError: it makes no sense like this.
        """
        rule: dict[str, Any] = {} if cron is None and every is None else {"cron": cron, "every": every}
        given = {"tz": tz, "catch_up": catch_up, "jitter": jitter}
        rule |= {word: value for word, value in given.items() if value is not None}

        def changed(old: Schedule) -> Schedule:
            if args is None and kwargs is None:
                return with_rule(old, **rule)
            task = self._app.tasks.get(old.task)
            if task is None:
                raise ConfigError(f"{old.task} is no task of this app, so its arguments can't be encoded here")
            kept = {word: getattr(old, word) for word in ("cron", "every", "tz", "catch_up", "jitter")}
            return made(task, name, args or (), kwargs or {}, kept | rule)

        with self._timetable() as timetable:
            timetable.change(name, changed)

    def pause(self, *names: str) -> int:
        """Have schedules start no more runs; returns how many did until now. `UnknownSchedule` where one is not there."""
        with self._timetable() as timetable:
            return timetable.pause(names)

    def resume(self, *names: str) -> int:
        """Have schedules go on from now: what was due in between is not made up for. Returns how many were paused."""
        with self._timetable() as timetable:
            return timetable.resume(names)

    def remove(self, *names: str) -> int:
        """Forget schedules; returns how many there were. Those that code declares come back with the next start of a worker."""
        with self._timetable() as timetable:
            return timetable.remove(names)

    def run(self, name: str) -> Job[Any]:
        """Start a run of a schedule now, beside those that are due, even where it is paused."""
        client = self._app._find_client()
        with client.broker() as broker:
            entry = Timetable(broker.schedules()).get(name)
            (id,) = broker.enqueue([run_now(entry.schedule, new_id())])
        return Job(client, id, Any)

    def fire(self, *, now: float | None = None) -> int:
        """Make jobs of the runs that are due, as workers do by themselves; returns how many. For tests.

        Parameters:
            now: what time it is taken to be, in epoch seconds.
        """
        with self._timetable() as timetable:
            return timetable.fire(now=now).runs
