"""Batch tasks and sinks: tasks whose jobs share calls."""

from __future__ import annotations

import typing
from collections.abc import Callable, Coroutine, Hashable, Mapping, Sequence
from functools import cached_property
from operator import attrgetter, itemgetter
from typing import Any, TypedDict, TypeVar, overload

from penstock.batching.sharing import MAX_SIZE, Sharing
from penstock.batching.sink import SinkWriter, ToRows
from penstock.client import Client
from penstock.core.codec import ItemSignature, Signature
from penstock.core.job import Lease
from penstock.core.sizing import Sizing
from penstock.declare import TaskOptions, declare
from penstock.errors import ConfigError
from penstock.sinks.base import Sink
from penstock.task import Task

T = TypeVar("T")

#: A key of an item: the name of a field, or a function.
Key = str | Callable[[Any], Hashable]


class BatchOptions(TypedDict, total=False):
    """What a batch task may be told beside the options of any task; `Penstock.batch_task` says what each is."""

    max_size: int
    max_wait: float | None
    sizing: Sizing | None
    key: Key | None


class BatchTask(Task[[T], Any]):
    """A task whose jobs share calls: each job is one item, and the function is called with a list of them.

    Made by `@app.batch_task`. A plain call runs the function here, with whatever it is given: a list, that is.
    """

    signature_type: type[Signature] = ItemSignature
    sharing: Sharing

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the function here and now, with a list of items."""
        return self.function(*args, **kwargs)

    @cached_property
    def _returns(self) -> Any:
        """The type of one item's value, in the list that the function returns."""
        hint = super()._returns
        origin, kinds = typing.get_origin(hint), typing.get_args(hint)
        return kinds[0] if kinds and isinstance(origin, type) and issubclass(origin, Sequence) else Any


class BatchDecorator:
    """The type of `@app.batch_task(...)`; never made."""

    @overload
    def __call__(self, function: Callable[[list[T]], Coroutine[Any, Any, Any]], /) -> BatchTask[T]: ...
    @overload
    def __call__(self, function: Callable[[list[T]], Any], /) -> BatchTask[T]: ...
    def __call__(self, function: Any, /) -> Any:
        """A type is all there is."""
        raise TypeError("only a type")


AnyBatchTask = TypeVar("AnyBatchTask", bound=BatchTask[Any])


def declare_batch(
    function: Callable[..., Any],
    find_client: Callable[[], Client],
    options: TaskOptions,
    *,
    max_size: int = MAX_SIZE,
    max_wait: float | None = None,
    sizing: Sizing | None = None,
    key: Key | None = None,
    kind: type[AnyBatchTask],
) -> AnyBatchTask:
    """The batch task that a function makes.

    Parameters:
        options: those of any task.
        kind: of batch task to make.

    Raises:
        ConfigError: an option makes no sense.
    """
    for name in ("rate_limit", "burst", "concurrency", "limit_key"):
        if options.get(name) is not None:
            raise ConfigError(f"{name}= is for tasks whose jobs run one by one: a batch task has max_size= and sizing=")
    if key is not None and options.get("unique"):
        raise ConfigError("unique= and key= don't go together: a job that is left out has no place in an order")
    find_key = None if key is None else _key_of(key)
    task = declare(function, find_client, kind=kind, order_key=find_key, **options)
    handler = Signature(task.name, function)
    task.share(Sharing(handler, max_size=max_size, max_wait=max_wait, sizing=sizing, ordered=key is not None))
    return task


class SinkTask(BatchTask[T]):
    """A batch task that writes its items into a table. A plain call makes an item's rows, and writes nothing."""

    signature_type = Signature


def declare_sink(
    rows: ToRows | None,
    find_client: Callable[[], Client],
    options: TaskOptions,
    connect: Callable[[], Sink],
    batch: BatchOptions,
    *,
    create: bool = False,
    bare: bool = False,
    ledger_id: Callable[[Lease], bytes] | None = None,
) -> SinkTask[Any]:
    """The batch task whose jobs are rows of a sink.

    Parameters:
        rows: makes an item's rows; without, the item is its row.
        options: those of any task.
        connect: opens the sink.
        create, bare, ledger_id: see `SinkWriter`.

    Raises:
        ConfigError: an option makes no sense.
    """
    task = declare_batch(rows or _row, find_client, options, kind=SinkTask, **batch)
    if task.signature.variadic or len(task.signature.names) != 1:
        raise ConfigError(f"rows= is called with an item, and {task.name}'s does not take exactly that")
    task.sharing.writer = SinkWriter(
        connect, lambda: find_client().url, task.signature, rows, create=create, bare=bare, ledger_id=ledger_id
    )
    return task


def _row(record: Any) -> Any:
    """An item that is a row as it is."""
    return record


def _key_of(key: Key) -> Callable[[Any], Hashable]:
    """What finds an item's key: in a dict, or in an object, by the name of a field."""
    if callable(key):
        return key
    in_dict, in_object = itemgetter(key), attrgetter(key)

    def find(item: Any) -> Hashable:
        found: Hashable = (in_dict if isinstance(item, Mapping) else in_object)(item)
        return found

    return find
