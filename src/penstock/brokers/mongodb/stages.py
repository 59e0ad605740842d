"""The stages of workflows in a MongoDB queue, as documents and as records; and which workflows are forgotten."""

from __future__ import annotations

from collections.abc import Sequence

from pymongo import UpdateOne

from penstock.brokers.mongodb.flows import Flows
from penstock.brokers.mongodb.gates import lines_of
from penstock.brokers.mongodb.layout import Layout
from penstock.brokers.workflows import EVERY_WORKFLOW, KEPT_DONE, KEPT_FAILED, SOME_WORKFLOWS, StageRecord
from penstock.core.handing import takes_results
from penstock.core.workflow import Answer, NewStage, Rule, StageState, Verdict, answer
from penstock.stores.mongodb import Document

#: Batches whose counters are read by one command.
_SOME = 1000


def document(stage: NewStage, flow: bytes, position: int, now: float) -> Document:
    """A stage as it is stored."""
    after = list(dict.fromkeys(stage.after))
    made: Document = {
        "_id": stage.id, "flow": flow, "position": position, "name": stage.name, "rule": int(stage.rule), "turn": 0, "live": True,
        "after": after, "takers": sum(takes_results(job.payload) for job in stage.jobs), "lines": lines_of(stage.jobs), "size": len(stage.jobs),
    }  # fmt: skip
    if after:
        made.update(state=StageState.WAITING.value, waits=after)
    else:
        made.update(state=StageState.STARTED.value, started_at=now, place=0)
    if stage.takes:
        made["takes"] = list(stage.takes)
    if stage.jobs:
        made["first"] = stage.jobs[0].id
    return made


def records(layout: Layout, flow: bytes) -> tuple[StageRecord, ...]:
    """The stages of a workflow, in their order."""
    found = layout.stages.find({"flow": flow}).hint("flow").sort("position", 1).to_list()
    counters: dict[bytes, Document] = {}
    for start in range(0, len(found), _SOME):
        ids = [one["_id"] for one in found[start : start + _SOME]]
        counters |= {one["_id"]: one for one in layout.batches.find({"_id": {"$in": ids}})}
    return tuple(_record(one, counters.get(one["_id"], {})) for one in found)


def _record(found: Document, counters: Document) -> StageRecord:
    get = found.get
    total, done, failed, retried = (int(counters.get(name, 0)) for name in ("total", "done", "failed", "retried"))
    state = StageState(found["state"])
    if state is StageState.CANCELLED:
        # Jobs that were cancelled with their stage are not counted.
        failed = total
    return StageRecord(
        found["_id"], found["name"], state, Rule(found["rule"]), tuple(found["after"]), total, done, failed, retried, get("first"), get("started_at"),
        get("ended_at"), get("reason"),
    )  # fmt: skip


def prune_workflows(layout: Layout, flows: Flows, now: float) -> None:
    """Forget workflows that ended long ago; and go on with those that somebody left without doing so, as older versions do."""
    due = {"look": {"$lte": now}, "birth": None}
    looks: list[UpdateOne] = []
    for found in layout.flows.find(due, {"_id": 1}).hint("look").sort("look", 1).limit(SOME_WORKFLOWS).to_list():
        id, stages = found["_id"], records(layout, found["_id"])
        if any(_stays(stage, now) for stage in stages):
            flows.settle(_unsettled(stages), now)
            looks.append(UpdateOne({"_id": id}, {"$set": {"look": now + EVERY_WORKFLOW}}))
        else:
            layout.stages.delete_many({"flow": id})
            layout.flows.delete_one({"_id": id})
    if looks:
        layout.flows.bulk_write(looks, ordered=False)


def _stays(stage: StageRecord, now: float) -> bool:
    if stage.verdict in (Verdict.OPEN, Verdict.FAILING) or stage.ended_at is None:
        return True
    return stage.ended_at > now - (KEPT_FAILED if stage.verdict is Verdict.FAILED else KEPT_DONE)


def _unsettled(stages: Sequence[StageRecord]) -> list[bytes]:
    """The stages of which something should have followed."""
    told = {stage.id: stage.verdict for stage in stages}
    over = [
        stage.id for stage in stages if stage.ended_at is None and stage.verdict not in (Verdict.OPEN, Verdict.FAILING)
    ]
    waits = [stage for stage in stages if stage.state is StageState.WAITING]
    missed = [
        batch
        for stage in waits
        for batch in stage.after
        if answer(stage.rule, told.get(batch, Verdict.OPEN), len(stage.after) - 1) is not Answer.WAIT
    ]
    return list(dict.fromkeys([*over, *missed]))
