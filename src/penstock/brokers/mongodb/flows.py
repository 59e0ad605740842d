"""What becomes of the stages of workflows in a MongoDB queue as others end.

Counters of batches change by intents, and an intent is not over before all is settled that follows from it: so whoever is killed in here leaves it to whoever
finishes his intent. Everything can be done again, and by several at a time. A stage that starts or stops does so by one change of its document, which says
all that is to be done; it goes on waiting for what had it change (`waits`) until that is done, for itself and for all that follows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from pymongo import DeleteMany, ReturnDocument, UpdateMany, UpdateOne
from pymongo.client_session import ClientSession

from penstock.brokers.mongodb.given import TooMuch, given, reason_of
from penstock.brokers.mongodb.layout import Layout
from penstock.brokers.mongodb.plan import Plan
from penstock.brokers.mongodb.waiting import again, begun, called_off, turn
from penstock.brokers.workflows import CALLED_OFF, KEPT_DONE
from penstock.core.workflow import Answer, Rule, StageState, Verdict, answer, verdict
from penstock.stores.mongodb import Document
from penstock.stores.mongodb_clock import ServerClock

#: Batches that are known to be no stages, before they are forgotten.
_KNOWN = 10_000
#: Bytes of payloads that are written by one command.
_TOGETHER = 8 << 20
#: Seconds for which MongoDB keeps a result that nobody prunes, after it has expired.
_GRACE = 60.0
_STARTED, _CANCELLED, _SKIPPED = (
    state.value for state in (StageState.STARTED, StageState.CANCELLED, StageState.SKIPPED)
)
#: What a stage tells that stops, by its state.
_VERDICTS = {_CANCELLED: Verdict.FAILED, _SKIPPED: Verdict.SKIPPED}
#: Stages of one command.
_SOME = 1000


class News(Protocol):
    """Who is told of stages that start and stop."""

    def starting(self, lines: Sequence[str]) -> None:
        """Jobs of these lines are about to be ready."""

    def started(self, lines: Sequence[str]) -> None:
        """Jobs are ready, some of them in these lines."""

    def stopped(self) -> None:
        """Jobs have ended that nobody had."""


class Flows:
    """Starts, cancels and skips stages, within the intents of one connection.

    Parameters:
        await_end: settles the intent of a token whose owner has died over it, or gives him a moment.
    """

    def __init__(self, layout: Layout, clock: ServerClock, news: News, await_end: Callable[[str], None]) -> None:
        # As in whatever else an intent does, no disk is waited for.
        self._layout = layout.unhurried
        self._clock = clock
        self._news = news
        self._await_end = await_end
        self._plain: set[bytes] = set()

    def of_stages(self, steps: Mapping[bytes, Mapping[str, int]], session: ClientSession | None = None) -> list[bytes]:
        """Of batches whose counters have changed, the stages that have ended by that, or count another failure."""
        unknown = [batch for batch in steps if batch not in self._plain]
        if not unknown:
            return []
        fields = {"stage": 1, "total": 1, "done": 1, "failed": 1}
        found = self._layout.batches.find({"_id": {"$in": unknown}}, fields, session=session).to_list()
        stages = [one for one in found if "stage" in one]
        if len(self._plain) > _KNOWN:
            self._plain.clear()
        self._plain.update(one["_id"] for one in found if "stage" not in one)
        return [
            one["_id"]
            for one in stages
            if one.get("done", 0) + one.get("failed", 0) >= one["total"] or steps[one["_id"]].get("failed", 0) > 0
        ]

    def born(self, token: str) -> None:
        """The workflow of an intent is there."""
        for collection in (self._layout.stages, self._layout.flows):
            collection.update_many({"birth": token}, {"$unset": {"birth": 1}})

    def unborn(self, token: str) -> None:
        """There is to be no workflow of an intent."""
        layout = self._layout
        ids = [one["_id"] for one in layout.stages.find({"birth": token}, {"_id": 1})]
        layout.batches.delete_many({"_id": {"$in": ids}})
        layout.stages.delete_many({"birth": token})
        layout.flows.delete_many({"birth": token})

    def follow(self, plan: Plan) -> None:
        """Do what follows from the changes of an intent, when they have been made."""
        stages = self.of_stages(plan.steps)
        if not stages and not plan.flow:
            return
        at = plan.at or self._clock.now()
        if "resume" in plan.flow:
            self._wait_again(plan.flow["resume"])
        for stage, number in plan.flow.get("retried", ()):
            self._went_on(stage, number)
        stopped = plan.flow.get("stop", [])
        if stopped:
            change = {"state": _CANCELLED, "ended_at": at, "reason": CALLED_OFF, "doing": True}
            waits = {"_id": {"$in": stopped}, "state": StageState.WAITING.value}
            self._layout.stages.update_many(waits, {"$set": change, "$unset": {"live": 1}})
        self.settle([*stages, *plan.flow.get("settle", ())], at, stopped)

    def settle(self, batches: Iterable[bytes], at: float, stopped: Sequence[bytes] = ()) -> None:
        """Counters of these batches have changed: see to the stages that wait for them.

        Parameters:
            at: the time, in epoch seconds.
            stopped: stages that have been cancelled, and are to be seen through.
        """
        changed: dict[tuple[bytes, int], Document] = {}
        stops: list[Document] = []
        ended: list[UpdateOne] = []
        left: deque[tuple[bytes, Document | None]] = deque((batch, None) for batch in batches)

        def see_through(stage: Document) -> None:
            id = stage["_id"]
            if (id, stage["turn"]) in changed:
                return
            changed[id, stage["turn"]] = stage
            if stage["state"] != _STARTED:
                # All that stop have their jobs stopped together.
                stops.append(stage)
                left.append((id, stage))
            elif not self._begin(stage):
                left.append((id, None))

        for found in self._layout.stages.find({"_id": {"$in": stopped}, "doing": True}) if stopped else ():
            see_through(found)
        while left:
            batch, known = left.popleft()
            both = self._layout.stages.find({"$or": [{"_id": batch}, {"waits": batch}]}).to_list()
            waits = sorted((one for one in both if one["_id"] != batch), key=_position)
            own = known or next((one for one in both if one["_id"] == batch), {})
            # In this order: what waits for a stage that is retried meanwhile may wait in another turn by then.
            told = self._told(own) if known is None else _VERDICTS[known["state"]]
            if told not in (Verdict.OPEN, Verdict.FAILING) and "live" in own:
                ended += [_of(own, {"$unset": {"live": 1}}), _of(own, {"$min": {"ended_at": at}})]
            for stage in waits if told is not Verdict.OPEN else ():
                met = stage if "doing" in stage else self._meet(stage, own, told, at, stops)
                if met is None:
                    left.append((batch, known))
                elif "doing" in met:
                    see_through(met)
        self._apply(stops)
        # What waits longest was there first: who is killed here leaves those undone that the others are found by.
        over = [_of(stage, {"$unset": {"doing": 1, "given": 1, "waits": 1}}) for stage in reversed(changed.values())]
        if ended or over:
            self._layout.stages.bulk_write([*ended, *over])
        starts = [stage for stage in changed.values() if stage["state"] == _STARTED]
        if starts:
            self._news.started([line for stage in starts for line in stage.get("lines", ())])
        if len(starts) < len(changed):
            self._news.stopped()

    def _told(self, own: Document) -> Verdict:
        """What a stage tells those that wait for it."""
        counts = self._layout.batches.find_one({"_id": own["_id"]}) if own else None
        if counts is None:
            return Verdict.OPEN
        failed = counts.get("failed", 0)
        told = verdict(StageState(own["state"]), counts["total"], counts.get("done", 0), failed)
        if own["state"] == _STARTED and told in (Verdict.DONE, Verdict.FAILED) and self._runs(own["_id"]):
            # A writer that stood still for very long may have counted twice: the jobs themselves tell.
            told = Verdict.FAILING if failed else Verdict.OPEN
        return told

    def _runs(self, stage: bytes) -> bool:
        """Is there a job of a stage that is yet to end?"""
        going = {"batch": stage, "ended": None, "birth": None, "shelf.ended": None}
        return self._layout.jobs.find_one(going, {"_id": 1}, hint="batch") is not None

    def _meet(self, stage: Document, own: Document, told: Verdict, at: float, stops: list[Document]) -> Document | None:
        """What follows for a stage from what another tells: it, as it is then; None where it is not as it was read any more.

        Parameters:
            stops: stages that stop, whose jobs have yet to.
        """
        batch = own["_id"]
        change: Document = {}
        match answer(Rule(stage["rule"]), told, len(stage["waits"]) - 1):
            case Answer.WAIT:
                return stage
            case Answer.ONE_LESS:
                # The last one is never taken away by itself: of two at a time, one has it start.
                more = {**_unchanged(stage), "waits": batch, "waits.1": {"$exists": True}}
                less = self._layout.stages.update_one(more, {"$pull": {"waits": batch}})
                return stage if less.matched_count else None
            case Answer.START:
                # It may take what their jobs leave.
                self._apply(stops)
                stops.clear()
                change = self._start(stage, batch, at)
            case Answer.CANCEL:
                # Of a stage that was cancelled itself, the reason is what all began with.
                reason = own.get("reason") or reason_of(self._layout, batch, own["name"])
                change = {"state": _CANCELLED, "ended_at": at, "reason": reason}
            case Answer.SKIP:
                change = {"state": _SKIPPED, "ended_at": at}
        return self._change({**_unchanged(stage), "waits": batch}, change)

    def _change(self, guard: Mapping[str, Any], change: Document) -> Document | None:
        over = {} if change["state"] == _STARTED else {"$unset": {"live": 1}}
        found = self._layout.stages.find_one_and_update(
            dict(guard), {"$set": {**change, "doing": True}, **over}, return_document=ReturnDocument.AFTER
        )
        return None if found is None else dict(found)

    def _start(self, stage: Document, trigger: bytes, at: float) -> Document:
        """What changes in a stage that starts; or is cancelled, where it takes too much."""
        try:
            results = given(self._layout, stage, trigger)
        except TooMuch as error:
            return {"state": _CANCELLED, "ended_at": at, "reason": str(error)}
        handed = {} if results is None else {"given": results}
        return {"state": _STARTED, "started_at": at, "place": self._layout.next_places(1), **handed}

    def _begin(self, stage: Document) -> bool:
        """Have the jobs of a stage run that has started; are there any?"""
        self._news.starting(stage.get("lines", ()))
        if "given" in stage:
            self._hand(stage["_id"], stage["given"])
        begun = self._apply([stage])
        for taken in set(stage.get("takes", ())):
            self._taken(taken, stage)
        return begun

    def _hand(self, stage: bytes, results: bytes) -> None:
        """Add results to the payloads of the jobs that take them, once each."""
        operations: list[UpdateOne] = []
        size = 0
        takers = {"batch": stage, "takes": True}
        for found in self._layout.jobs.find(takers, {"payload": 1}).hint("batch").to_list():
            payload = found["payload"] + results
            mine = {"_id": found["_id"], "takes": True}
            operations.append(UpdateOne(mine, {"$set": {"payload": payload}, "$unset": {"takes": 1}}))
            size += len(payload)
            if size > _TOGETHER:
                self._layout.jobs.bulk_write(operations, ordered=False)
                operations, size = [], 0
        if operations:
            self._layout.jobs.bulk_write(operations, ordered=False)

    def _apply(self, stages: Sequence[Document]) -> bool:
        """Have the jobs of stages that wait do what their stages do; were there any?"""
        any_jobs = False
        for start in range(0, len(stages), _SOME):
            some = stages[start : start + _SOME]
            turns = {"waits": {"$in": [turn(one["_id"], one["turn"]) for one in some]}}
            while True:
                done = self._layout.jobs.bulk_write([_fate(one) for one in some], ordered=False)
                count = done.modified_count + done.deleted_count
                any_jobs = any_jobs or count > 0
                # Where that was all of them there is no more to look for.
                if count == sum(one["size"] for one in some) or not self._are_marked(turns, "waits"):
                    break
        return any_jobs

    def _are_marked(self, chosen: Mapping[str, Any], index: str) -> bool:
        """Are there such jobs, which somebody repairs right now, or died over? Then what he began comes to its end."""
        found = self._layout.jobs.find(dict(chosen), {"mark": 1}).hint(index).limit(_KNOWN).to_list()
        for token in {one["mark"] for one in found if "mark" in one}:
            self._await_end(token)
        return bool(found)

    def _taken(self, stage: bytes, by: Document) -> None:
        """The results of a stage were handed on: they go in a day, unless another may yet want them."""
        others = {"takes": stage, "_id": {"$ne": by["_id"]}, "state": {"$nin": [_STARTED, _SKIPPED]}}
        if self._layout.stages.find_one(others, {"_id": 1}, hint="takes") is None:
            gone = datetime.fromtimestamp(self._clock.now() + KEPT_DONE + _GRACE, UTC)
            kept = {"expires": by["started_at"] + KEPT_DONE, "gone": gone}
            self._layout.results.update_many({"stage": stage}, {"$min": kept}, hint="stage")

    def _wait_again(self, stages: Sequence[tuple[bytes, int]]) -> None:
        """Stages that were cancelled in a turn wait in the next one, and so do the jobs that were cancelled with them.

        The jobs come first: as long as a stage has not begun its next turn, nobody starts them. And a stage comes after those that it waits for.
        """
        for start in range(0, len(stages), _SOME):
            some = stages[start : start + _SOME]
            jobs = [
                UpdateMany(
                    {"batch": stage, "fate": turn(stage, number), "mark": None},
                    again(turn(stage, number + 1)),
                    hint="batch",
                )
                for stage, number in some
            ]
            fates = {"$in": [turn(stage, number) for stage, number in some]}
            while True:
                self._layout.jobs.bulk_write(jobs, ordered=False)
                if not self._are_marked({"batch": {"$in": [stage for stage, _ in some]}, "fate": fates}, "batch"):
                    break
            fresh = {"state": StageState.WAITING.value, "live": True, "waits": "$after", "turn": {"$add": ["$turn", 1]}}
            update: list[dict[str, Any]] = [{"$set": fresh}, {"$unset": ["ended_at", "reason", "doing", "given"]}]
            cancelled = {"state": _CANCELLED}
            self._layout.stages.bulk_write(
                [UpdateOne({"_id": stage, "turn": number, **cancelled}, update) for stage, number in some]
            )

    def _went_on(self, stage: bytes, number: int) -> None:
        """Jobs of a stage that had ended are ready again, or wait for a turn of it, which may be over."""
        stages = self._layout.stages
        found = stages.find_one({"_id": stage})
        if found is None or (found["state"] == StageState.WAITING.value and found["turn"] == number):
            return
        if found["turn"] != number:
            now = {"$set": {"waits": turn(stage, found["turn"])}}
            self._layout.jobs.update_many({"waits": turn(stage, number)}, now, hint="waits")
        if found["state"] == _STARTED:
            going = {"_id": stage, "state": _STARTED}
            stages.update_one(going, {"$set": {"live": True}, "$unset": {"ended_at": 1}})
        if found["state"] != StageState.WAITING.value:
            self._apply([found])
        # They may have ended by now.
        self.settle([stage], self._clock.now())


def _position(stage: Document) -> int:
    return int(stage["position"])


def _unchanged(stage: Document) -> dict[str, Any]:
    """The filter of a stage that waits, as long as it does so in this turn."""
    return {"_id": stage["_id"], "turn": stage["turn"], "state": StageState.WAITING.value}


def _fate(stage: Document) -> UpdateMany | DeleteMany:
    """What becomes of the jobs of a stage that wait."""
    its_turn = turn(stage["_id"], stage["turn"])
    chosen = {"waits": its_turn, "mark": None}
    if stage["state"] == _SKIPPED:
        return DeleteMany(chosen, hint="waits")
    if stage["state"] == _CANCELLED:
        return UpdateMany(chosen, called_off(stage["reason"], its_turn, stage["ended_at"]), hint="waits")
    return UpdateMany(chosen, begun(stage["place"], stage["started_at"]), hint="waits")


def _of(stage: Document, update: Mapping[str, Any]) -> UpdateOne:
    return UpdateOne({"_id": stage["_id"], "turn": stage["turn"]}, update)
