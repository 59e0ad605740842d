"""The workflows of a MongoDB queue: storing, reading, cancelling and resuming them; each by intents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from pymongo.client_session import ClientSession
from pymongo.errors import DuplicateKeyError

from penstock.brokers.inspect import Selection
from penstock.brokers.mongodb import documents, stages
from penstock.brokers.mongodb.gates import lines_of
from penstock.brokers.mongodb.inspector import MongoInspector
from penstock.brokers.mongodb.layout import Layout
from penstock.brokers.mongodb.plan import Plan
from penstock.brokers.mongodb.repairs import Repair
from penstock.brokers.mongodb.storing import Storing, distinct
from penstock.brokers.mongodb.waiting import ENDED, turn, waiting
from penstock.brokers.workflows import StageRecord, WorkflowRecord
from penstock.core.job import NewJob
from penstock.core.workflow import NewWorkflow, StageState, check
from penstock.stores.mongodb import Document, translating
from penstock.stores.mongodb_clock import ServerClock

#: Storing, and the session of a transaction of the user's that it belongs to.
Joined = Callable[[object], tuple[Storing, ClientSession]]


class MongoWorkflows:
    """See `penstock.brokers.workflows.Workflows`. Made by `MongoBroker.workflows`, whose client it uses.

    Parameters:
        joined: has things stored in a transaction of the user's.
    """

    def __init__(
        self,
        shown: str,
        layout: Layout,
        clock: ServerClock,
        storing: Storing,
        inspector: MongoInspector,
        joined: Joined,
    ) -> None:
        self._shown = shown
        self._layout = layout
        self._clock = clock
        self._storing = storing
        self._inspector = inspector
        self._joined = joined

    def start(self, workflow: NewWorkflow, *, now: float | None = None, tx: object | None = None) -> None:
        """See `Workflows.start`; `tx` is as in `MongoBroker.enqueue`."""
        check(workflow)
        with translating(self._shown):
            now = self._clock.now() if now is None else now
            ready = [job for stage in workflow.stages if not stage.after for job in stage.jobs]
            lines = lines_of(ready)
            self._storing.order.met(ready)
            self._storing.gates.expect(lines, within=tx is not None)
            if tx is None:
                self._store(workflow, now)
            else:
                self._store_within(workflow, now, *self._joined(tx))
            self._storing.gates.open(lines)

    def _documents(self, workflow: NewWorkflow, now: float) -> tuple[Document, list[Document], list[Document], Plan]:
        """A workflow, its stages, their counters, and its jobs with what follows."""
        flow: Document = {"_id": workflow.id, "name": workflow.name, "created": now, "look": now}
        made = [stages.document(one, workflow.id, n, now) for n, one in enumerate(workflow.stages)]
        counters = [{"_id": one.id, "total": len(one.jobs), "stage": True} for one in workflow.stages]
        ready: list[NewJob] = [job for one in workflow.stages if not one.after for job in one.jobs]
        first = self._layout.next_places(len(ready)) if ready else 0
        births = [documents.document(job, first + n, now) for n, job in enumerate(ready)]
        births += [waiting(job, one.id, now) for one in workflow.stages if one.after for job in one.jobs]
        empty = [one.id for one in workflow.stages if not one.after and not one.jobs]
        return flow, made, counters, Plan(births=distinct(births), flow={"settle": empty}, at=now)

    def _store(self, workflow: NewWorkflow, now: float) -> None:
        flow, made, counters, plan = self._documents(workflow, now)
        plan.flow["born"] = True
        layout = self._layout

        def begin(token: str) -> bool:
            # The workflow first: of two that store it, one goes on; and if he dies, the stages are found by it.
            try:
                layout.flows.insert_one({**flow, "birth": token})
            except DuplicateKeyError:
                return False
            layout.stages.insert_many([{**one, "birth": token} for one in made], ordered=False)
            layout.batches.insert_many(counters, ordered=False)
            return True

        intents = self._storing.intents
        while not intents.carry_out(self._storing.name, [], lambda *_: plan, begin=begin).flow:
            if self._is_stored(workflow.id):
                return
        self._storing.ring()

    def _is_stored(self, id: bytes) -> bool:
        """Is a workflow stored? One that somebody began to store is settled, if he died over it, and waited for else."""
        while (found := self._layout.flows.find_one({"_id": id}, {"birth": 1})) is not None:
            if "birth" not in found:
                return True
            self._storing.intents.await_end(found["birth"])
        return False

    def _store_within(self, workflow: NewWorkflow, now: float, storing: Storing, session: ClientSession) -> None:
        layout = storing.layout
        if layout.flows.find_one({"_id": workflow.id}, {"_id": 1}, session=session) is not None:
            return
        flow, made, counters, plan = self._documents(workflow, now)
        layout.flows.insert_one(flow, session=session)
        layout.stages.insert_many(made, session=session)
        layout.batches.insert_many(counters, session=session)
        if plan.births:
            storing.insert(plan.births, session, again=True)
        if plan.flow["settle"]:
            storing.intents.owe(storing.name, Plan(flow=plan.flow, at=now), session)
        storing.ring(session)

    def get(self, id: bytes) -> WorkflowRecord | None:
        """See `Workflows.get`."""
        with translating(self._shown):
            of = self._layout.stages.find_one({"_id": id}, {"flow": 1})
            found = self._layout.flows.find_one({"_id": id if of is None else of["flow"], "birth": None})
            if found is None:
                return None
            return WorkflowRecord(
                found["_id"], found["name"], found["created"], stages.records(self._layout, found["_id"])
            )

    def cancel(self, id: bytes, *, now: float | None = None) -> int:
        """See `Workflows.cancel`."""
        with translating(self._shown):
            waits = [one.id for one in stages.records(self._layout, id) if one.state is StageState.WAITING]
            count = self._layout.jobs.count_documents(
                {"batch": {"$in": waits}, "waits": {"$exists": True}}, hint="batch"
            )
            if waits:
                stopped = Plan(flow={"stop": waits}, at=self._clock.now() if now is None else now)
                self._carry_out(stopped)
            started = [one.id for one in stages.records(self._layout, id) if one.state is StageState.STARTED]
        return count + sum(self._inspector.cancel(Selection(batch=one)) for one in started)

    def resume(self, id: bytes, *, now: float | None = None) -> int:
        """See `Workflows.resume`."""
        with translating(self._shown):
            moment = self._clock.now() if now is None else now
            found = stages.records(self._layout, id)
        # First what failed: as long as it has, whatever waits for it would be cancelled again.
        failed = [one.id for one in found if one.state is not StageState.CANCELLED and one.failed]
        resumed = sum(self._inspector.retry(Selection(batch=one)) for one in failed)
        with translating(self._shown):
            turns = self._cancelled(found)
            counted = self._uncount(turns)
            fates = {"batch": {"$in": list(turns)}, "fate": {"$in": [turn(*one) for one in turns.items()]}}
            resumed += self._layout.jobs.count_documents(fates, hint="batch") if turns else 0
            if turns:
                told = {id for one in found if one.id in turns for id in one.after if id not in turns or id in counted}
                self._carry_out(
                    Plan(flow={"resume": [list(one) for one in turns.items()], "settle": sorted(told)}, at=moment)
                )
        return resumed

    def _cancelled(self, found: Sequence[StageRecord]) -> dict[bytes, int]:
        """The stages that are cancelled, in their order, and in which turn they were."""
        ids = [one.id for one in found if one.state is StageState.CANCELLED]
        chosen = {"_id": {"$in": ids}, "state": StageState.CANCELLED.value}
        turns = {one["_id"]: int(one["turn"]) for one in self._layout.stages.find(chosen, {"turn": 1})}
        return {id: turns[id] for id in ids if id in turns}

    def _uncount(self, turns: Mapping[bytes, int]) -> set[bytes]:
        """Have jobs that ended by themselves, in stages that were cancelled, be as those that ended with them, which nobody counts.

        Returns:
            The stages that had any. Those that were deleted stay counted: the stage has failed already, when it waits again.
        """
        some = self._layout.batches.find({"_id": {"$in": list(turns)}, "failed": {"$gt": 0}}, {"_id": 1})
        counted = {one["_id"] for one in some}
        guard = {"state": {"$in": ENDED}, "fate": None}
        for stage in sorted(counted):
            as_others = {"$set": {"fate": turn(stage, turns[stage])}}
            Repair(self._layout, self._storing, guard, as_others, "failed", -1).run({"batch": stage})
        return counted

    def _carry_out(self, plan: Plan) -> None:
        intents = self._storing.intents
        intents.settle_own()
        intents.carry_out(self._storing.name, [], partial(_as_it_is, plan))


def _as_it_is(plan: Plan, *_: object) -> Plan:
    return plan
