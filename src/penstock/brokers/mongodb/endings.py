"""Ending leases and giving them back in a MongoDB queue, with everything that goes with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from pymongo.client_session import ClientSession

from penstock.brokers.mongodb.documents import (
    LARGEST,
    Update,
    document,
    ending,
    goes_to_the_back,
    lease,
    to_its_place,
)
from penstock.brokers.mongodb.gates import lines_of
from penstock.brokers.mongodb.layout import Layout
from penstock.brokers.mongodb.plan import Guard, Plan, write
from penstock.brokers.mongodb.storing import Storing, distinct
from penstock.brokers.workflows import KEPT_FAILED
from penstock.core.decide import INTERRUPTED, dead
from penstock.core.job import Holder, Lease
from penstock.core.outcome import AGAIN, Ending, Outcome, called_off, ended
from penstock.stores.mongodb import Document, patiently
from penstock.stores.mongodb_clock import ServerClock

#: Outcomes of one intent.
_SOME = 1000
#: Seconds for which MongoDB keeps a result that nobody prunes, after it has expired.
_GRACE = 60.0
_LONGEST_TTL = 3e9


class Prepared(msgspec.Struct):
    """An outcome and the documents that go with it, before it is known whether its lease is in force."""

    outcome: Outcome
    births: list[Document]
    update: Update | None
    result: Document | None

    @property
    def size(self) -> int:
        """Bytes, about."""
        update = len(self.outcome.payload or b"") if self.update else 0
        return 1000 + update + (len(self.result["value"]) if self.result else 0)


class Endings:
    """The endings of one connection."""

    def __init__(self, layout: Layout, clock: ServerClock, storing: Storing) -> None:
        self._layout = layout
        self._clock = clock
        self._storing = storing
        self._intents = storing.intents

    def hand_in(
        self, outcomes: Sequence[Outcome], now: float, holder: Holder, session: ClientSession | None = None
    ) -> list[Outcome]:
        """End leases; returns the outcomes of those that were not in force."""
        first = once(outcomes)
        changed = self._called_off(first, session)
        prepared = self._prepared(changed, now)
        lines = lines_of(job for outcome in changed for job in outcome.follow_ups)
        self._storing.gates.expect(lines, within=session is not None)
        good = self._end(prepared, holder, now) if session is None else self._end_within(prepared, holder, now, session)
        self._storing.gates.open(lines)
        self._storing.order.ended((one.outcome.lease for one in good), session)
        self._storing.gates.ended([one.outcome for one in good], now)
        if any(one.births or one.outcome.ending is Ending.RELEASED for one in good):
            self._storing.ring(session)
        if session is None and good and self._storing.ends.is_watched():
            self._storing.ends.tell(ended(one.outcome for one in good))
        in_force = {id(one.outcome) for one in good}
        fine = {id(given) for given, made in zip(first, changed, strict=True) if id(made) in in_force}
        return [outcome for outcome in outcomes if id(outcome) not in fine]

    def _called_off(self, outcomes: Sequence[Outcome], session: ClientSession | None) -> Sequence[Outcome]:
        """The outcomes, with those of jobs that are to be cancelled changed so that none of them runs again."""
        again = [outcome.lease.id for outcome in outcomes if outcome.ending in AGAIN]
        if not again:
            return outcomes
        found = self._layout.jobs.find(
            {"_id": {"$in": again}, "cancelled": True, "worker": {"$exists": True}}, {"claim": 1}, session=session
        )
        marked = {(one["_id"], one.get("claim")) for one in found}
        return [
            called_off(outcome) if (outcome.lease.id, outcome.lease.claim) in marked else outcome
            for outcome in outcomes
        ]

    def held(self, holder: Holder) -> list[Lease]:
        """The leases of one process that are in force."""
        self._intents.settle_of(f"{holder.worker}/{holder.process}")
        found = self._layout.jobs.find({"worker": holder.worker, "process": holder.process}).hint("held")
        return [lease(one) for one in sorted(found, key=lambda one: (one["claim"], one["home"], one["_id"]))]

    def _prepared(self, outcomes: Sequence[Outcome], now: float) -> list[Prepared]:
        places = sum(len(outcome.follow_ups) + goes_to_the_back(outcome) for outcome in outcomes)
        place = self._layout.next_places(places) if places else 0
        prepared: list[Prepared] = []
        for outcome in outcomes:
            update = None if outcome.ending is Ending.DONE else ending(outcome, place, now)
            place += goes_to_the_back(outcome)
            births = [document(job, place + n, now) for n, job in enumerate(outcome.follow_ups)]
            place += len(births)
            prepared.append(Prepared(outcome, births, update, self._result(outcome, now)))
        return prepared

    def _result(self, outcome: Outcome, now: float) -> Document | None:
        if outcome.result is None or outcome.ending is not Ending.DONE:
            return None
        # One that others take is kept until they have started, which sets another time: however long that takes, the server does not delete it.
        ttl = max(outcome.result_ttl, KEPT_FAILED) if outcome.passes else outcome.result_ttl
        result: Document = {"_id": outcome.lease.id, "value": outcome.result, "expires": now + ttl}
        if outcome.passes and outcome.lease.batch is not None:
            result["stage"] = outcome.lease.batch
        elif ttl < _LONGEST_TTL:
            result["gone"] = datetime.fromtimestamp(self._clock.now() + ttl + _GRACE, UTC)
        return result

    def _in_force(self, prepared: Sequence[Prepared], session: ClientSession | None) -> list[Prepared]:
        """Those whose lease is in force."""
        ids = [one.outcome.lease.id for one in prepared]
        claims = {one.outcome.lease.claim for one in prepared}
        if session is None and len(claims) == 1:
            # Nearly always all of them are, and a number is cheaper to send than five hundred documents.
            fitting = {"_id": {"$in": ids}, "claim": claims.pop()}
            if self._layout.jobs.count_documents(fitting, hint="_id_") == len(ids):
                return list(prepared)
        found = self._layout.jobs.find(
            {"_id": {"$in": ids}},
            {"claim": 1},
            session=session,
            hint="_id_",
            batch_size=len(ids) + 1,
        )
        current = {one["_id"]: one.get("claim") for one in found}
        return [one for one in prepared if current.get(one.outcome.lease.id) == one.outcome.lease.claim]

    def _end_within(
        self, prepared: Sequence[Prepared], holder: Holder, now: float, session: ClientSession
    ) -> list[Prepared]:
        good = self._in_force(prepared, session)
        plan = plan_of(good)
        if plan.births:
            self._storing.insert(plan.births, session, again=True)
        write(self._layout, plan, session)
        if plan.steps and (stages := self._intents.flows.of_stages(plan.steps, session)):
            follows = Plan(flow={"settle": stages}, at=now)
            self._intents.owe(f"{holder.worker}/{holder.process}", follows, session)
        return good

    def _end_apart(self, prepared: Sequence[Prepared]) -> list[Prepared]:
        good = self._in_force(prepared, None)
        write(self._layout, plan_of(good), None)
        return good

    def _end(self, prepared: Sequence[Prepared], holder: Holder, now: float) -> list[Prepared]:
        self._intents.settle_own()
        good = self._end_now(prepared, holder, now)
        while len(good) < len(prepared):
            ended = {id(one) for one in good}
            left = [one for one in prepared if id(one) not in ended]
            if not self._intents.free([one.outcome.lease.id for one in left]):
                break
            good += self._end_now(left, holder, now)
        return good

    def _end_now(self, prepared: Sequence[Prepared], holder: Holder, now: float) -> list[Prepared]:
        """End leases by the means that each of them takes: most are one document, and few come with others."""
        together = [one for one in prepared if one.births or one.outcome.steps]
        chosen = {id(one) for one in together}
        apart = [one for one in prepared if id(one) not in chosen]
        good = self._end_apart(apart) if apart else []
        for some in _helpings(together):
            good += self._end_by_intent(some, holder, now)
        return good

    def _end_by_intent(self, prepared: Sequence[Prepared], holder: Holder, now: float) -> list[Prepared]:
        good: list[Prepared] = []
        prepared = _latest(prepared)
        changes = [(ids, guard) for guard, ids in _by_claim(prepared)]

        def plan(_: str, marked: set[bytes]) -> Plan:
            good.extend(one for one in prepared if one.outcome.lease.id in marked)
            planned = plan_of(good)
            planned.at = now
            return planned

        self._intents.carry_out(f"{holder.worker}/{holder.process}", changes, plan)
        return good

    def give_back(self, held: Guard, crashed: Sequence[bytes], owner: str) -> int:
        """Give back what a dead process or worker held; returns how many jobs.

        Parameters:
            held: tells its jobs from others.
            owner: the start of its intents' tokens.
        """
        jobs = self._layout.jobs
        self._intents.settle_of(owner)
        names = jobs.distinct("queue", dict(held))
        counted: dict[str, Any] = {
            "$add": [{"$ifNull": ["$crashes", 0]}, {"$cond": [{"$in": ["$_id", list(crashed)]}, 1, 0]}]
        }
        update = to_its_place({"crashes": counted} if crashed else None)
        # A transaction of a sink's, in which a job was to end, may have died with its process.
        count = patiently(
            self._layout.client,
            lambda: jobs.update_many({**held, "once": None, "cancelled": None}, update, hint="held").modified_count,
        )
        final = [
            lease(found) for found in jobs.find({**held, "$or": [{"once": True}, {"cancelled": True}]}).hint("held")
        ]
        if final:
            outcomes = [
                dead(one, INTERRUPTED) if one.at_most_once else called_off(Outcome(one, Ending.RELEASED))
                for one in final
            ]
            count += len(outcomes) - len(self.hand_in(outcomes, self._clock.now(), Holder(owner)))
        self._storing.order.bury(held)
        if count:
            self._storing.gates.freed_by(names)
            self._storing.ring()
        return count


def once(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The first outcome of each lease."""
    first = {(outcome.lease.id, outcome.lease.claim): outcome for outcome in reversed(outcomes)}
    return [outcome for outcome in outcomes if first[outcome.lease.id, outcome.lease.claim] is outcome]


def plan_of(good: Sequence[Prepared]) -> Plan:
    """What the outcomes of leases in force change."""
    plan = Plan(births=distinct(born for one in good for born in one.births))
    plan.deletes = [(ids, guard) for guard, ids in _by_claim([one for one in good if one.update is None])]
    released: dict[int, list[bytes]] = {}
    for one in good:
        outcome = one.outcome
        if one.result is not None:
            plan.results.append(one.result)
        plan.count(outcome.steps)
        plain = outcome.ending is Ending.RELEASED and outcome.payload is None and outcome.items is None
        if plain:
            released.setdefault(outcome.lease.claim, []).append(outcome.lease.id)
        elif one.update is not None:
            updates = plan.again if outcome.ending in AGAIN else plan.updates
            updates.append(([outcome.lease.id], {"claim": outcome.lease.claim}, one.update))
    plan.again += [(ids, {"claim": claim}, to_its_place()) for claim, ids in released.items()]
    return plan


def _by_claim(prepared: Sequence[Prepared]) -> list[tuple[Guard, list[bytes]]]:
    claims: dict[int, list[bytes]] = {}
    for one in prepared:
        claims.setdefault(one.outcome.lease.claim, []).append(one.outcome.lease.id)
    return [({"claim": claim}, ids) for claim, ids in claims.items()]


def _latest(prepared: Sequence[Prepared]) -> list[Prepared]:
    """Without the outcomes that another of the same job, by a later claim, rules out."""
    latest: dict[bytes, int] = {}
    for one in prepared:
        lease = one.outcome.lease
        latest[lease.id] = max(lease.claim, latest.get(lease.id, lease.claim))
    return [one for one in prepared if latest[one.outcome.lease.id] == one.outcome.lease.claim]


def _helpings(prepared: Sequence[Prepared]) -> Iterator[list[Prepared]]:
    """Parts whose intents fit into a document each."""
    part: list[Prepared] = []
    size = 0
    for one in prepared:
        if part and (size + one.size > LARGEST or len(part) >= _SOME):
            yield part
            part, size = [], 0
        part.append(one)
        size += one.size
    if part:
        yield part
