"""What the workers of a processor are told."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib import import_module
from operator import attrgetter
from typing import Any

import msgspec

from penstock.app import Penstock
from penstock.core.sizing import ByDepth, Fixed, Sizing
from penstock.errors import ConfigError
from penstock.sinks.base import OnConflict

#: Makes the app of a plan.
PROGRAM = "penstock.processors.plan:build"
#: Jobs in a batch, at most, where nothing else is said.
LARGEST = 1000


class Plan(msgspec.Struct, frozen=True):
    """A queue, and the table that its records go to.

    Parameters:
        broker: URL of the queue.
        queue: its name.
        url, table, on_conflict, conflict_key, create: as `Penstock.sink` has them.
        rows: "module:function" that makes an item's rows; empty where items are rows.
        folder: where that module may be.
        batch_size: jobs in a batch, at most.
        adaptive: by the depth of the queue; else always as many.
    """

    broker: str
    queue: str
    url: str
    table: str
    on_conflict: OnConflict = OnConflict.ERROR
    conflict_key: tuple[str, ...] = ()
    create: bool = True
    rows: str = ""
    folder: str = ""
    batch_size: int = LARGEST
    adaptive: bool = True

    @property
    def task(self) -> str:
        """The name of the task whose jobs are records."""
        return f"sink:{self.table}"

    @property
    def sizing(self) -> Sizing:
        """How many records go together."""
        return ByDepth(max_size=self.batch_size) if self.adaptive else Fixed(self.batch_size)

    @property
    def arguments(self) -> dict[str, str]:
        """Of `build`."""
        return {"plan": msgspec.json.encode(self).decode()}


def build(plan: str) -> Penstock:
    """The app of a processor and of its workers; `plan` is a Plan as JSON."""
    told = msgspec.json.decode(plan, type=Plan)
    app = Penstock(told.broker)
    app.sink(
        told.url,
        table=told.table,
        rows=_found(told) if told.rows else None,
        on_conflict=told.on_conflict,
        conflict_key=told.conflict_key,
        create=told.create,
        max_size=told.batch_size,
        sizing=told.sizing,
        queue=told.queue,
        name=told.task,
    )
    return app


def located(function: Callable[[Any], Any]) -> tuple[str, str]:
    """Where workers find a function: "module:name", and the folder of the program, where it may be a part of that.

    Raises:
        ConfigError: they can't import it.
    """
    module, name = function.__module__, function.__qualname__
    folder = ""
    if module == "__main__":
        path = getattr(sys.modules["__main__"], "__file__", None)
        if path is None:
            raise ConfigError(f"rows={name}: workers can't import what is typed in here: put it into a file")
        folder, file = os.path.split(os.path.abspath(path))
        module = file.removesuffix(".py")
    if "<" in name:
        raise ConfigError(f"rows={name}: workers import it by its name: give it one, with def, at the top of a module")
    return f"{module}:{name}", folder


def _found(plan: Plan) -> Callable[[Any], Any]:
    module, _, name = plan.rows.partition(":")
    if plan.folder and plan.folder not in sys.path:
        sys.path.insert(0, plan.folder)
    # The program itself knows the function already: to import its main module once more would run it.
    main = sys.modules["__main__"]
    path = getattr(main, "__file__", None) or ""
    found = main if path == os.path.join(plan.folder, f"{module}.py") else None
    function: Callable[[Any], Any] = attrgetter(name)(found or import_module(module))
    return function
