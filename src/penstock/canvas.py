"""The words for workflows: signatures, chains, groups, chords and map-reduce."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, Protocol, Self, TypeVar

from msgspec.structs import replace

from penstock.client import Client
from penstock.core.codec import Signature as Codec
from penstock.core.codec import encode_value
from penstock.core.decide import JobOptions
from penstock.core.job import NewJob
from penstock.errors import ConfigError
from penstock.handles import Job
from penstock.started import StartedWorkflow
from penstock.workflow import Node, Workflow

R = TypeVar("R")
S = TypeVar("S")
#: Results that a reducer of `map_reduce` gets, at most.
FAN_IN = 100


class Sends(Protocol):
    """How a task's jobs are sent, as far as signatures ask."""

    @property
    def job(self) -> JobOptions:
        """What they have otherwise than the task."""

    @property
    def tx(self) -> object | None:
        """The transaction that they are stored in."""


class Callee(Protocol):
    """What a signature knows of its task."""

    @property
    def name(self) -> str:
        """By which jobs find it."""

    @property
    def signature(self) -> Codec:
        """How its arguments travel."""

    @property
    def sending(self) -> Sends:
        """How its jobs are sent."""

    @property
    def is_keyed(self) -> bool:
        """Do a job's arguments say which others it stands for, or waits with?"""

    def job(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> NewJob:
        """The job of a call."""

    def send(self, jobs: Sequence[NewJob]) -> list[Job[Any]]:
        """Store jobs."""


class Canvas(ABC, Generic[R]):
    """Steps that are to run as a workflow: a signature, or several of them put together."""

    def __init__(self) -> None:
        self._watchers: tuple[Signature[Any], ...] = ()

    @abstractmethod
    def _add(self, workflow: Workflow, after: Sequence[Node]) -> Node:
        """Add the stages to a workflow."""

    def add_to(self, workflow: Workflow, after: Sequence[Node]) -> Node:
        """See `penstock.workflow.Part`; `Workflow.add` is for you."""
        node = self._add(workflow, after)
        for watcher in self._watchers:
            workflow.watch(node.stages, watcher)
        return node

    def on_error(self, callback: Signature[Any]) -> Self:
        """Have a call run once, as soon as one of these jobs fails for good or is cancelled. One made by `.s` gets the `Failure` first."""
        changed = copy.copy(self)
        changed._watchers = (*self._watchers, callback)
        return changed

    def workflow(self, name: str | None = None, *, on_failure: str = "fail_fast") -> Workflow:
        """A workflow of this, to which more can be added; see `Workflow` for the parameters."""
        made = Workflow(name or self._name(), on_failure=on_failure)
        made.add(self)
        return made

    def delay(self) -> StartedWorkflow[R]:
        """Store it as a workflow, all of it or nothing; returns a handle on it. See `Workflow.delay` for what it raises."""
        return self.workflow().delay()

    async def delay_async(self) -> StartedWorkflow[R]:
        """As `delay`, without blocking the event loop."""
        return await self.workflow().delay_async()

    def __or__(self, other: Canvas[S]) -> Chain[S]:
        return Chain((*_steps(self), *_steps(other)))

    @abstractmethod
    def _name(self) -> str:
        """What a workflow of this is called."""


class Signature(Canvas[R]):
    """A call that is not made yet. Made by `task.s(...)` and `task.si(...)`.

    Parameters:
        immutable: it takes no results, only its own arguments.
        find_client: the way into the store.
        handle: makes a handle on a job of the task.
    """

    def __init__(
        self,
        task: Callee,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        *,
        immutable: bool,
        find_client: Callable[[], Client],
        handle: Callable[[Client, bytes], Job[R]],
    ) -> None:
        super().__init__()
        self._task = task
        self._args = tuple(args)
        self._kwargs = dict(kwargs)
        self._immutable = immutable
        self._find_client = find_client
        self.handle = handle

    @property
    def name(self) -> str:
        """Of its task."""
        return self._task.name

    @property
    def client(self) -> Client:
        """See `penstock.workflow.Member`."""
        return self._find_client()

    @property
    def tx(self) -> object | None:
        """See `penstock.workflow.Member`."""
        return self._task.sending.tx

    @property
    def takes_results(self) -> bool:
        """See `penstock.workflow.Member`."""
        return not self._immutable

    def before(self, *args: Any) -> Signature[R]:
        """The same with more arguments, before its own."""
        changed = copy.copy(self)
        changed._args = (*args, *self._args)
        return changed

    def job(self, id: bytes, stage: bytes, shape: Sequence[int], *, passes: bool) -> NewJob:
        """See `penstock.workflow.Member`."""
        task = self._task
        shape = () if self._immutable else shape
        if shape and task.is_keyed:
            raise ConfigError(
                f"{task.name} has a key made of its arguments, and results come later: use .si(...) for it"
            )
        made = task.job([*[None] * len(shape), *self._args], self._kwargs)
        if shape:
            made = replace(made, payload=task.signature.encode_open(self._args, self._kwargs, shape))
        if passes:
            made = replace(made, options=encode_value(replace(task.sending.job, passes=True)))
        return replace(made, id=id, batch=stage)

    def _add(self, workflow: Workflow, after: Sequence[Node]) -> Node:
        return workflow.stage([self], after)

    def _name(self) -> str:
        return self.name

    def __repr__(self) -> str:
        given = [*map(repr, self._args), *(f"{name}={value!r}" for name, value in self._kwargs.items())]
        return f"{self.name}({', '.join(given)})"


class Chain(Canvas[R]):
    """Steps one after the other: each gets the result of the one before. Made by `chain(...)` or with `|`."""

    def __init__(self, steps: Iterable[Canvas[Any]]) -> None:
        super().__init__()
        self.steps: tuple[Canvas[Any], ...] = tuple(steps)
        if not self.steps:
            raise ConfigError("a chain has one step or more")

    def _add(self, workflow: Workflow, after: Sequence[Node]) -> Node:
        node = self.steps[0].add_to(workflow, after)
        stages = list(node.stages)
        for step in self.steps[1:]:
            node = step.add_to(workflow, (node,))
            stages += node.stages
        return Node(node.ends, node.many, tuple(stages))

    def _name(self) -> str:
        return "chain"


class Group(Canvas[R]):
    """Steps at the same time; their results are a list in their order. Made by `group(...)`."""

    def __init__(self, steps: Iterable[Canvas[Any]]) -> None:
        super().__init__()
        flat: list[Canvas[Any]] = []
        for step in steps:
            flat += step.steps if isinstance(step, Group) and not step._watchers else [step]
        self.steps: tuple[Canvas[Any], ...] = tuple(flat)

    def _add(self, workflow: Workflow, after: Sequence[Node]) -> Node:
        nodes: list[Node] = []
        run: list[Signature[Any]] = []
        for step in self.steps:
            # Calls side by side are one stage, whose counters are one row.
            if isinstance(step, Signature) and not step._watchers:
                run.append(step)
                continue
            if run:
                nodes.append(workflow.stage(run, after))
                run = []
            nodes.append(step.add_to(workflow, after))
        if run or not nodes:
            nodes.append(workflow.stage(run, after))
        ends = tuple(id for node in nodes for id in node.ends)
        return Node(ends, True, tuple(id for node in nodes for id in node.stages))

    def _name(self) -> str:
        return "group"


class _MapReduce(Canvas[R]):
    """See `map_reduce`."""

    def __init__(self, items: Iterable[Any], mapper: Signature[Any], reducer: Signature[R], fan_in: int) -> None:
        super().__init__()
        self._mapped = [mapper.before(item) for item in items]
        self._reducer = reducer
        self._fan_in = fan_in

    def _add(self, workflow: Workflow, after: Sequence[Node]) -> Node:
        chunks = _chunks(self._mapped, self._fan_in) or [[]]
        level = [workflow.stage(some, after) for some in chunks]
        stages = [node.stages[0] for node in level]
        to_reduce = [[node] for node in level]
        while True:
            level = [workflow.stage([self._reducer], nodes, merged=True) for nodes in to_reduce]
            stages += [node.stages[0] for node in level]
            if len(level) == 1:
                return Node(level[0].ends, False, tuple(stages))
            to_reduce = _chunks(level, self._fan_in)

    def _name(self) -> str:
        return "map_reduce"


class Signs(Protocol):
    """A task."""

    def s(self, *args: Any, **kwargs: Any) -> Signature[Any]:
        """A signature of it."""


def chain(*steps: Canvas[Any] | Iterable[Canvas[Any]]) -> Chain[Any]:
    """Steps one after the other: each made by `.s` gets the result of the one before as its first argument."""
    return Chain(part for step in _flat(steps) for part in _steps(step))


def group(*steps: Canvas[Any] | Iterable[Canvas[Any]]) -> Group[list[Any]]:
    """Steps at the same time. What comes after them gets their results as one list, in their order."""
    return Group(_flat(steps))


def chord(header: Group[Any] | Iterable[Canvas[Any]], body: Canvas[R]) -> Chain[R]:
    """A group, and a step that gets the list of its results when all have ended."""
    steps = header if isinstance(header, Group) else Group(header)
    return Chain((steps, *_steps(body)))


def map_reduce(
    items: Iterable[Any], mapper: Signs | Signature[Any], reducer: Signs | Signature[Any], *, fan_in: int = FAN_IN
) -> Canvas[Any]:
    """One job of the mapper for each item, and reducers that make one result of theirs, as a tree.

    Parameters:
        mapper: called with an item; as a signature, with its own arguments behind that.
        reducer: called with a list of results of the mapper, or of its own.
        fan_in: results that a reducer gets, at most.

    Raises:
        ConfigError: `fan_in` is not 2 or more.
    """
    if fan_in < 2:
        raise ConfigError(f"fan_in= is 2 or more, not {fan_in!r}: a reducer makes one result of several")
    return _MapReduce(items, _signed(mapper), _signed(reducer), fan_in)


def _chunks(items: Sequence[S], size: int) -> list[list[S]]:
    """Lists of so many; the last may have fewer."""
    return [list(items[start : start + size]) for start in range(0, len(items), size)]


def _signed(what: Signs | Signature[Any]) -> Signature[Any]:
    return what if isinstance(what, Signature) else what.s()


def _flat(steps: Iterable[Any]) -> list[Canvas[Any]]:
    flat: list[Canvas[Any]] = []
    for step in steps:
        for one in [step] if isinstance(step, Canvas) or not isinstance(step, Iterable) else step:
            if not isinstance(one, Canvas):
                raise ConfigError(f"workflows are made of signatures, such as task.s(1), not {one!r}")
            flat.append(one)
    return flat


def _steps(step: Canvas[Any]) -> tuple[Canvas[Any], ...]:
    """Those of a chain, which go into another without being one of their own."""
    return step.steps if isinstance(step, Chain) and not step._watchers else (step,)
