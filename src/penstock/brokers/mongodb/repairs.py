"""Changing many jobs at once, by hand, together with the counters of their batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from penstock.brokers.mongodb.documents import Update
from penstock.brokers.mongodb.layout import Layout
from penstock.brokers.mongodb.plan import Guard, Plan
from penstock.brokers.mongodb.results import nothing, wanted
from penstock.brokers.mongodb.storing import Storing
from penstock.core.outcome import Step

#: Jobs of one step of a repair.
_SOME = 1000


class Repair:
    """One kind of repair.

    Parameters:
        guard: what a job must be like.
        update: None deletes.
        counter: of their batches, which is to change by the jobs' items, times `sign`.
        turns: of the stages whose jobs are to run again.
    """

    def __init__(
        self, layout: Layout, storing: Storing, guard: Guard, update: Update | None, counter: str | None = None,
        sign: int = 1, turns: Mapping[bytes, int] | None = None,
    ) -> None:  # fmt: skip
        self._layout = layout
        self._storing = storing
        self._guard = guard
        self._update = update
        self._counter = counter
        self._sign = sign
        self._turns = turns or {}

    def run(self, chosen: Mapping[str, Any]) -> int:
        """Repair the jobs that a filter chooses; returns how many.

        All of them are looked up first: what is ready only by what becomes of others is not among them.
        """
        found = self._layout.jobs.find({**chosen, **self._guard}, {"_id": 1}).sort("_id", 1)
        ids = [bytes(one["_id"]) for one in found]
        return sum(self._some(ids[start : start + _SOME]) for start in range(0, len(ids), _SOME))

    def _some(self, ids: list[bytes]) -> int:
        jobs = self._layout.jobs
        fit = {"_id": {"$in": ids}, "mark": None, **self._guard}
        # Of what has ended, those are not counted yet that were cancelled with their stage; but what is deleted may leave something to it.
        counted = {"fate" if self._counter is None and self._update is not None else "batch": {"$exists": True}}
        if not jobs.count_documents({**fit, **counted}, limit=1):
            if self._update is None:
                return jobs.delete_many(fit).deleted_count
            return jobs.update_many(fit, self._update).modified_count
        done: list[bytes] = []
        self._storing.intents.carry_out(
            self._storing.name,
            [(ids, self._guard)],
            lambda _, marked: self._plan(jobs.find({"_id": {"$in": list(marked)}}).to_list(), done),
        )
        return len(done)

    def _plan(self, found: Sequence[Mapping[str, Any]], done: list[bytes]) -> Plan:
        plan = Plan()
        batches = {one["batch"] for one in found if "batch" in one}
        stages: set[bytes] = set()
        if batches and self._update is None:
            stages = {one["_id"] for one in self._layout.stages.find({"_id": {"$in": list(batches)}}, {"_id": 1})}
            taken = wanted(self._layout, stages)
            plan.results = [nothing(one["_id"], one["batch"]) for one in found if one.get("batch") in taken]
        for one in found:
            done.append(one["_id"])
            batch = one.get("batch")
            if batch in stages:
                # A stage would begin as if it had run.
                if self._counter is not None or "fate" in one:
                    plan.count([Step(batch, failed=one.get("items", 1))])
            elif batch is not None and self._counter is not None:
                sums = plan.steps.setdefault(batch, {self._counter: 0})
                sums[self._counter] += self._sign * one.get("items", 1)
        retried = [[batch, self._turns[batch]] for batch in batches if batch in self._turns]
        if retried:
            plan.flow["retried"] = retried
        if not done:
            return plan
        if self._update is None:
            plan.deletes.append((done, self._guard))
        else:
            plan.updates.append((done, self._guard, self._update))
        return plan
