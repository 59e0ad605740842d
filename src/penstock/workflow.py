"""The builder of workflows: steps, and what each waits for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from penstock.client import Client, new_id, new_ids
from penstock.core.job import NewJob
from penstock.core.workflow import NewStage, NewWorkflow, Rule
from penstock.errors import ConfigError
from penstock.handles import Job
from penstock.started import StartedWorkflow, store

_RULES = {"fail_fast": Rule.DONE, "continue": Rule.ENDED}


class Node(msgspec.Struct, frozen=True):
    """Something that was added to a workflow, for others to wait for.

    `ends` are the stages that it ends with, and `many` says that their results are a list. `stages` are all of its stages.
    """

    ends: tuple[bytes, ...]
    many: bool
    stages: tuple[bytes, ...]


class Member(Protocol):
    """One call in a workflow."""

    @property
    def name(self) -> str:
        """Of its task."""

    @property
    def client(self) -> Client:
        """The way into the store of its task's app."""

    @property
    def tx(self) -> object | None:
        """The transaction that it is to be stored in."""

    @property
    def takes_results(self) -> bool:
        """Does it get the results of what it waits for?"""

    def job(self, id: bytes, stage: bytes, shape: Sequence[int], *, passes: bool) -> NewJob:
        """The job that it becomes.

        Parameters:
            stage: that the job is of.
            shape: of the results that there are for it; see `penstock.core.handing.opened`.
            passes: others take its result.
        """

    def handle(self, client: Client, id: bytes) -> Job[Any]:
        """A handle on that job."""


class Part(Protocol):
    """What a workflow is made of."""

    def add_to(self, workflow: Workflow, after: Sequence[Node]) -> Node:
        """Add its stages to a workflow, to start after these."""


class _Draft(msgspec.Struct):
    """A stage that is to be."""

    id: bytes
    ids: list[bytes]
    members: list[Any]
    after: tuple[bytes, ...]
    takes: tuple[bytes, ...]
    shape: list[int]
    rule: Rule


class Workflow:
    """A workflow that is being built: a graph of steps, stored whole by `delay`.

        flow = Workflow()
        orders = flow.add(fetch.s("orders"))
        prices = flow.add(fetch.s("prices"))
        flow.add(report.s(), after=[orders, prices])      # report(orders, prices)
        started = flow.delay()

    Parameters:
        name: for whoever looks at it.
        on_failure: "fail_fast" cancels what waits for a step that fails; "continue" goes on with its `Failure` in place of its result.
    """

    def __init__(self, name: str = "workflow", *, on_failure: str = "fail_fast") -> None:
        if on_failure not in _RULES:
            raise ConfigError(f'on_failure= is "fail_fast" or "continue", not {on_failure!r}')
        self.name = name
        self._rule = _RULES[on_failure]
        self._drafts: dict[bytes, _Draft] = {}
        self._nodes: list[Node] = []
        self._started = False

    def add(self, part: Part, *, after: Sequence[Node] = ()) -> Node:
        """Add a step: a signature, or a chain, group or chord of them.

        Parameters:
            after: the steps that it waits for. A signature made by `.s` gets the result of each as an argument, before its own: a list
                of the results, where that is a group.

        Returns:
            What others may wait for in turn.
        """
        known = self._drafts
        if any(id not in known for node in after for id in node.ends):
            raise ConfigError("after= takes what add() of this workflow has returned")
        node = part.add_to(self, after)
        self._nodes.append(node)
        return node

    def stage(self, members: Sequence[Member], after: Sequence[Node], *, merged: bool = False) -> Node:
        """Add calls that start together. Chains and groups do this; use `add`.

        Parameters:
            merged: the results of all that they wait for are one list.
        """
        takes = tuple(id for node in after for id in node.ends)
        shape = [len(takes)] if merged else [len(node.ends) if node.many else 0 for node in after]
        return self._draft(members, takes, takes, shape, self._rule)

    def watch(self, stages: Sequence[bytes], member: Member) -> None:
        """Have a call run, with the failure as its argument, as soon as a job of these stages fails for good. Once."""
        self._draft([member], tuple(stages), (), [0], Rule.FAILED)

    def _draft(
        self, members: Sequence[Member], after: tuple[bytes, ...], takes: tuple[bytes, ...], shape: list[int], rule: Rule
    ) -> Node:  # fmt: skip
        id = new_id()
        takes = takes if any(member.takes_results for member in members) else ()
        waits = tuple(dict.fromkeys(after))
        self._drafts[id] = _Draft(id, new_ids(len(members)), list(members), waits, takes, shape, rule)
        return Node((id,), False, (id,))

    def made(self) -> NewWorkflow:
        """The workflow as it is stored. Raises `TypeError` where a step can't be called with what it gets."""
        taken = {id for draft in self._drafts.values() for id in draft.takes}
        stages = []
        for draft in self._drafts.values():
            jobs = tuple(
                member.job(id, draft.id, draft.shape, passes=draft.id in taken)
                for id, member in zip(draft.ids, draft.members, strict=True)
            )
            stages.append(NewStage(draft.id, _named(draft.members), jobs, draft.after, draft.rule, draft.takes))
        return NewWorkflow(new_id(), self.name, tuple(stages))

    def delay(self) -> StartedWorkflow[Any]:
        """Store the workflow, all of it or nothing; returns a handle on it.

        Raises:
            ConfigError: there is nothing in it, it was started before, or a task that is unique or keyed can't be in it.
            MissingFeature: the broker keeps no workflows.
            TypeError: a step can't be called with what it gets.
        """
        made, client, tx = self._prepared()
        store(client, made, tx)
        return self._handle(client, made)

    async def delay_async(self) -> StartedWorkflow[Any]:
        """As `delay`, without blocking the event loop."""
        import asyncio  # a program that does not await should not pay for it

        made, client, tx = self._prepared()
        await asyncio.to_thread(store, client, made, tx)
        return self._handle(client, made)

    def _prepared(self) -> tuple[NewWorkflow, Client, object | None]:
        members = [member for draft in self._drafts.values() for member in draft.members]
        if not members:
            raise ConfigError("there is nothing in the workflow: add() steps to it first")
        if self._started:
            raise ConfigError("the workflow was started before: build another one")
        transactions = {id(member.tx): member.tx for member in members if member.tx is not None}
        if len(transactions) > 1:
            raise ConfigError("a workflow is stored in one transaction: give its tasks the same tx=")
        made = self.made()
        self._started = True
        return made, members[0].client, next(iter(transactions.values()), None)

    def _handle(self, client: Client, made: NewWorkflow) -> StartedWorkflow[Any]:
        waited_for = {id for draft in self._drafts.values() if draft.rule is not Rule.FAILED for id in draft.after}
        last = [node for node in self._nodes if not waited_for.intersection(node.ends)]
        jobs = [
            member.handle(client, id)
            for node in last
            for end in node.ends
            for id, member in zip(self._drafts[end].ids, self._drafts[end].members, strict=True)
        ]
        return StartedWorkflow(client, made.id, jobs, many=len(last) != 1 or last[0].many)


def _named(members: Sequence[Member]) -> str:
    names = list(dict.fromkeys(member.name for member in members))
    return names[0] if len(names) == 1 else ", ".join(names) or "nothing"
