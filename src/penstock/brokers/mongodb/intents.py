"""All or nothing without a transaction, which a server that stands alone does not have.

A replica set does; but what a transaction has written stays locked for a minute or more when its process is killed, and
the job could not be given to another for as long.

What is to change together is prepared where nobody sees it: jobs that change are *marked* (what tells where they stand is
put on a shelf, so that nobody else can take, end or move them), jobs that are new are *hidden* likewise. Then one document
is inserted that says what is to be done, under a token of its own: the intent. With it, all has happened; without it,
nothing has. Doing it is idempotent, and whoever finds an intent may finish it.

Whoever finds marks without an intent inserts an empty one under the same token, takes the marks off and throws the hidden
jobs away. Of the two inserts one comes first; a slow owner that comes second is told to try again.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo.client_session import ClientSession
from pymongo.errors import BulkWriteError, DuplicateKeyError

from penstock.brokers.mongodb.documents import HIDDEN, STANDING, Update
from penstock.brokers.mongodb.flows import Flows, News
from penstock.brokers.mongodb.layout import Layout
from penstock.brokers.mongodb.plan import Change, Guard, Plan, arrive, count_once, duplicates, load, reschedule, write
from penstock.brokers.mongodb.waiting import ENDED
from penstock.errors import StoreUnavailable
from penstock.stores.mongodb import Document
from penstock.stores.mongodb_clock import ServerClock

#: The field of a message that somebody is making a job of.
ADOPTED = "_adopted"
#: Seconds after which whoever marked or hid a job and did not say what for has died over it.
_ABANDONED_AFTER = 60
#: Seconds for which somebody who stores the same jobs is waited for.
_PATIENCE = 5.0
_LOOK_AGAIN = 0.005
#: Seconds for which a command that was cut off may still begin.
_LATEST = 30.0
_REMEMBER_VOID = timedelta(days=1)
_ON_THE_SHELF: Update = [
    {"$set": {"shelf": {field: f"${field}" for field in STANDING}}},
    {"$unset": [field for field in STANDING if field != "state"]},
]
_OFF_THE_SHELF: list[dict[str, Any]] = [{"$set": {field: f"$shelf.{field}" for field in STANDING}}]
#: A job that waits for its stage goes on doing so while it is marked; while it is hidden it does not.
_HIDDEN_FIELDS = (*STANDING, "waits")
_SHOWN: list[dict[str, Any]] = [
    {"$set": {field: f"$shelf.{field}" for field in _HIDDEN_FIELDS}},
    {"$unset": ["birth", "shelf"]},
]
_CODEC: CodecOptions[Document] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)


class Intents:
    """The intents of one namespace.

    Parameters:
        news: is told of stages that start and stop.
        owed: as in `owe`, of the broker's own client, where this one belongs to a transaction of the user's.
    """

    def __init__(self, layout: Layout, clock: ServerClock, news: News, owed: list[str] | None = None) -> None:
        self._layout = layout
        self._clock = clock
        self.flows = Flows(layout, clock, news, self.await_end)
        #: Tokens of intents in transactions of the user's: when these are committed, what they say is to be done.
        self.owed: list[str] = [] if owed is None else owed
        #: Tokens whose end this connection did not hear of; with what is to be done, where that is decided.
        self._unheard: dict[str, Plan | None] = {}
        #: Those that were settled, and until when they are kept: a server may begin an update after the connection is cut by which it came, and mark jobs then.
        self._late: dict[str, float] = {}
        #: The life of the server that answered last.
        self._life: object = None

    def carry_out(
        self,
        owner: str,
        changes: Sequence[tuple[list[bytes], Guard]],
        plan: Callable[[str, set[bytes]], Plan],
        messages: Sequence[Any] = (),
        *,
        token: str | None = None,
        begin: Callable[[str], bool] | None = None,
        stored: Callable[[Plan], None] | None = None,
    ) -> Plan:
        """Change jobs and store new ones, together with whatever else the plan says, or do nothing at all.

        Parameters:
            owner: the start of the token, by which whoever buries a dead process finds what it left half done.
            changes: ids, and what the jobs must be like.
            plan: what to do, given the token and the ids that did fit.
            messages: ids of messages to take from the inbox; those that nobody else took carry the token then.
            token: one that `new_token` made.
            begin: marks other documents by the token, and says whether there were any.
            stored: changes the plan when it is known which of its births were not there already.

        Returns:
            The plan, without the births that were there already.
        """
        token = token or self.new_token(owner)
        self._unheard[token] = None
        inbox = self._layout.inbox
        marked = self._marked(changes, token)
        if (changes and not marked) or (begin is not None and not begin(token)):
            del self._unheard[token]
            return Plan()
        if messages:
            inbox.update_many({"_id": {"$in": list(messages)}, ADOPTED: None}, {"$set": {ADOPTED: token}})
        chosen = plan(token, marked)
        chosen.births = self._hide(chosen.births, token)
        if chosen.grows:
            chosen.grow(chosen.births)
        if stored is not None:
            stored(chosen)
        try:
            # Last of what must be on disk: by it, all that follows can be done again.
            self._layout.intents.insert_one({"_id": token, "plan": _packed(chosen)})
        except DuplicateKeyError:
            raise StoreUnavailable("the server was slow, and others took this for dead: try again") from None
        self._unheard[token] = chosen
        self._finish(token, chosen, hidden=bool(chosen.births))
        self._unheard.pop(token, None)
        return chosen

    def new_token(self, owner: str) -> str:
        """A token for what `owner` is about to do."""
        return f"{owner}/{int(self._clock.now())}/{secrets.token_hex(8)}"

    def _hide(self, births: Sequence[Document], token: str) -> list[Document]:
        """Store jobs so that nobody sees them; returns those that went in."""
        stored = list(births)
        waiting = [_hidden(born, token) for born in births]
        for attempt in range(3):
            if not waiting:
                return stored
            try:
                self._layout.jobs.insert_many(waiting, ordered=False)
                return stored
            except BulkWriteError as error:
                refused = duplicates(error)
                if refused is None:
                    raise
            taken = [waiting[n] for n in refused]
            # What is in the way may itself be hidden, by somebody who died over it.
            waiting = taken if attempt < 2 and self.clear_the_way(taken) else []
            if not waiting:
                gone = {one["_id"] for one in taken}
                return [born for born in stored if born["_id"] not in gone]
        return stored

    def clear_the_way(self, births: Sequence[Document]) -> bool:
        """Settle what is hidden under the same ids or keys; was there anything?"""
        ids = [born["_id"] for born in births]
        keys = [born["unique"] for born in births if "unique" in born]
        hidden = {"birth": {"$exists": True}, "$or": [{"_id": {"$in": ids}}, {"unique": {"$in": keys}}]}
        settled = False
        while True:
            tokens = {found["birth"] for found in self._layout.jobs.find(hidden, {"birth": 1})}
            old = [token for token in tokens if self.may_settle(token)]
            for token in old:
                self.settle(token)
            settled = settled or bool(tokens)
            if len(old) == len(tokens):
                return settled
            # Somebody else stores the same jobs right now, and will be done in a moment, unless he is dead.
            time.sleep(_LOOK_AGAIN)

    def may_settle(self, token: str) -> bool:
        """Has its owner died over it, or was that this connection, which did not hear of its end?"""
        return token in self._unheard or self._age(token) > _PATIENCE

    def await_end(self, token: str) -> None:
        """Settle what its owner has died over, or give him a moment."""
        if self.may_settle(token):
            self.settle(token)
        else:
            time.sleep(_LOOK_AGAIN)

    def owe(self, owner: str, plan: Plan, session: ClientSession) -> None:
        """Have what follows from a transaction of the user's done when it is committed, by whoever looks first."""
        token = self.new_token(owner)
        self._layout.intents.insert_one({"_id": token, "plan": _packed(plan)}, session=session)
        self.owed.append(token)

    def settle_owed(self) -> None:
        """See to transactions that have been committed; one that takes very long is left to `settle_old`."""
        for token in list(self.owed):
            if self._layout.intents.find_one({"_id": token}, {"_id": 1}) is not None:
                self.settle(token)
            elif self._age(token) < _PATIENCE:
                continue
            self.owed.remove(token)

    def _age(self, token: str) -> float:
        return self._clock.now() - int(token.split("/")[-2])

    def _marked(self, changes: Sequence[tuple[list[bytes], Guard]], token: str) -> set[bytes]:
        """Mark the jobs that fit; returns their ids."""
        update = [{"$set": {"mark": token}}, *_ON_THE_SHELF]
        jobs, all_fit = self._layout.jobs, True
        for ids, guard in changes:
            done = jobs.update_many({"_id": {"$in": ids}, "mark": None, "birth": None, **guard}, update)
            all_fit = all_fit and done.modified_count == len(ids)
        if all_fit:
            return {id for ids, _ in changes for id in ids}
        return {found["_id"] for found in jobs.find({"mark": token}, {"_id": 1})}

    def settle(self, token: str) -> None:
        """Finish what somebody began, or undo it."""
        decided = self._unheard.get(token)
        if decided is not None:
            # Its intent may be gone already, by the command whose answer was lost.
            self._finish(token, decided, hidden=True)
            return
        void = {"_id": token, "void": True, "gone": datetime.now(UTC) + _REMEMBER_VOID}
        try:
            self._layout.intents.insert_one(void)
            found: Document | None = void
        except DuplicateKeyError:
            found = self._layout.intents.find_one({"_id": token})
        if found is None:
            return
        if "plan" in found:
            plan = self._unheard[token] = _unpacked(found["plan"])
            self._finish(token, plan, hidden=True)
            self._unheard.pop(token, None)
            return
        self._undo(token)

    def _undo(self, token: str) -> None:
        self._layout.jobs.delete_many({"birth": token})
        self._layout.jobs.update_many({"mark": token}, [*_OFF_THE_SHELF, {"$unset": ["mark", "shelf"]}])
        self._layout.inbox.update_many({ADOPTED: token}, {"$unset": {ADOPTED: 1}})
        self._layout.schedules.update_many({"mark": token}, {"$unset": {"mark": 1}})
        self.flows.unborn(token)

    def settle_own(self) -> None:
        """Settle what this connection began and did not hear the end of."""
        if not self._unheard:
            return
        now = time.monotonic()
        self._late = {token: until for token, until in self._late.items() if until > now}
        for token in list(self._unheard):
            self.settle(token)
            self._unheard.pop(token, None)
            self._late[token] = now + _LATEST

    def free(self, ids: Sequence[bytes]) -> bool:
        """Take marks off these jobs that the server put there when they had been taken off; were there any?"""
        if not self._late:
            return False
        marked = {"_id": {"$in": list(ids)}, "mark": {"$in": list(self._late)}}
        tokens = {found["mark"] for found in self._layout.jobs.find(marked, {"mark": 1})}
        for token in tokens:
            self._undo(token)
        return bool(tokens)

    def settle_of(self, owner: str) -> None:
        """Settle what a dead process, or every process of a dead worker, left half done."""
        for token in self._begun():
            if token.startswith(f"{owner}/"):
                self.settle(token)

    def settle_old(self) -> None:
        """Settle what was left half done long ago, by whomever."""
        self.settle_own()
        for token, decided in self._begun().items():
            if self._age(token) > (_PATIENCE if decided else _ABANDONED_AFTER):
                self.settle(token)

    def _begun(self) -> dict[str, bool]:
        """The tokens of what is half done, and of each whether there is an intent: then it is only to be finished."""
        layout = self._layout
        jobs, inbox, intents = layout.jobs, layout.inbox, layout.intents
        tokens: dict[str, bool] = {found["_id"]: True for found in intents.find({"void": None}, {"_id": 1})}
        begun = [(jobs, "birth"), (jobs, "mark"), (inbox, ADOPTED), (layout.schedules, "mark")]
        for collection, field in (*begun, (layout.flows, "birth"), (layout.stages, "birth")):
            for token in collection.distinct(field, {field: {"$gte": ""}}):
                tokens.setdefault(token, False)
        return dict(sorted(tokens.items()))

    def _finish(self, token: str, plan: Plan, *, hidden: bool) -> None:
        """Do what an intent says, as often as it takes; with `hidden`, show the jobs that were hidden for it.

        Nothing here waits for a disk. What a server forgets as it dies, it forgets from the end: as long as it has not
        forgotten that the intent is gone, it has not forgotten what came before. That holds within one life of it: where
        it died in between, the intent may have gone in the next one, and all is done again.
        """
        if self._life is None:
            self._life = self._ask_life()
        before = None
        while before != self._life:
            before = self._life
            self._do(token, plan, hidden=hidden)
            reply = self._layout.unhurried.intents.delete_one({"_id": token}).raw_result
            self._life = reply.get("electionId") or self._ask_life()

    def _ask_life(self) -> object:
        """What no other life of the server has in common with this one; a server that stands alone is not elected."""
        hello = self._layout.client.admin.command("hello")
        return hello.get("electionId") or hello.get("topologyVersion", {}).get("processId", "unknown")

    def _do(self, token: str, plan: Plan, *, hidden: bool) -> None:
        layout = self._layout.unhurried
        mark = {"mark": token}
        done = Plan(
            deletes=[(ids, mark) for ids, _ in plan.deletes], updates=_off_the_shelf(plan.updates, mark),
            results=plan.results,
        )  # fmt: skip
        if plan.inbox:
            layout.inbox.delete_many({ADOPTED: token})
        if plan.shipment is not None:
            load(layout, plan.shipment, mark)
        if plan.arrival is not None:
            arrive(layout, plan.arrival)
        write(layout, done, None)
        if hidden and any(sums.get("failed") for sums in plan.steps.values()):
            # Before they are counted: whoever sees by its counters that a batch has ended looks for those that failed.
            layout.jobs.update_many({"birth": token, "shelf.state": {"$in": ENDED}}, _SHOWN)
        count_once(layout, plan.steps, token)
        if "born" in plan.flow:
            # Before its jobs: what follows from their ends is told by it.
            self.flows.born(token)
        if hidden:
            layout.jobs.update_many({"birth": token}, _SHOWN)
        self.flows.follow(plan)
        # A job that goes on is free again when all that it has left is there, and counted: it may be the last of its batch.
        write(layout, Plan(again=_off_the_shelf(plan.again, mark)), None)
        # Not before their jobs are there: whoever finds the mark on a schedule that is due does all of this again.
        reschedule(layout, list(plan.schedules.values()), mark)
        if plan.shipment is not None:
            # Not before all of it is in it.
            known = {"_id": plan.shipment["_id"]}
            layout.shipments.update_one(known, {"$setOnInsert": plan.shipment}, upsert=True)


def _hidden(born: Document, token: str) -> Document:
    shelf = {field: born[field] for field in _HIDDEN_FIELDS if field in born}
    plain = {field: value for field, value in born.items() if field not in shelf}
    return {**plain, "state": HIDDEN, "birth": token, "shelf": shelf}


def _off_the_shelf(changes: Sequence[Change], mark: Guard) -> list[Change]:
    """The same changes, for jobs that are marked: what was on the shelf is of no further use."""
    return [(ids, mark, _emptied(update)) for ids, _, update in changes]


def _emptied(update: Update) -> Update:
    if isinstance(update, list):
        return [*update, {"$unset": ["mark", "shelf"]}]
    return {**update, "$unset": {**update.get("$unset", {}), "mark": 1, "shelf": 1}}


def _packed(plan: Plan) -> bytes:
    """A plan as bytes: MongoDB would take the operators in it for its own."""
    return bson.encode(
        {
            "deletes": [ids for ids, _ in plan.deletes],
            "updates": [{"ids": ids, "update": update} for ids, _, update in (*plan.updates, *plan.again)],
            # An older version, which may finish this, makes no difference.
            "again": len(plan.again),
            "results": plan.results,
            "steps": [{"batch": batch, "sums": sums} for batch, sums in plan.steps.items()],
            "inbox": plan.inbox,
            "shipment": plan.shipment,
            "arrival": plan.arrival,
            "schedules": plan.schedules,
            "flow": plan.flow,
            "at": plan.at,
        }
    )


def _unpacked(data: bytes) -> Plan:
    found = bson.decode(data, codec_options=_CODEC)
    updates: list[Change] = [(one["ids"], {}, one["update"]) for one in found["updates"]]
    last = len(updates) - found.get("again", 0)
    return Plan(
        deletes=[(ids, {}) for ids in found["deletes"]],
        updates=updates[:last],
        again=updates[last:],
        results=found["results"],
        steps={one["batch"]: one["sums"] for one in found["steps"]},
        inbox=found["inbox"],
        # A plan of an older version has none.
        shipment=found.get("shipment"),
        arrival=found.get("arrival"),
        schedules=found.get("schedules", {}),
        flow=found.get("flow", {}),
        at=found.get("at", 0.0),
    )
