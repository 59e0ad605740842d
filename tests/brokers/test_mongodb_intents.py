"""Killed between any two commands: what belongs together has all happened in the end, or nothing of it."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from killing import KILLER, die, killed_at, nothing_is_left_over, settle
from pymongo.errors import PyMongoError

from penstock.brokers.inspect import Selection
from penstock.brokers.mongodb import intents
from penstock.brokers.mongodb.broker import MongoBroker
from penstock.brokers.mongodb.plan import Plan
from penstock.brokers.timetable import Timetable
from penstock.core.job import Failure
from penstock.core.outcome import Ending, Outcome, Step
from penstock.core.schedule import Schedule, run_of
from penstock.core.states import State
from penstock.errors import StoreUnavailable
from penstock.testing.contract.harness import ALICE, BOB, NOW, claim, hand_in, ids, job, jobs, new_id, state
from penstock.testing.servers import MongoServer


@pytest.fixture(params=["mongodb", "mongodb alone"])
def open_one(
    request: pytest.FixtureRequest, stores: dict[str, Any], tmp_path: Path, opened: Callable[[str], MongoBroker]
) -> Iterator[Callable[[], MongoBroker]]:
    url = stores[request.param](request, tmp_path)()
    yield lambda: opened(url)
    KILLER.left, KILLER.action = None, die


def test_endings_with_everything_that_goes_with_them(open_one: Callable[[], MongoBroker]) -> None:
    survivor = open_one()
    for number in range(30):
        batch = new_id()
        sent = jobs(3, batch=batch)
        survivor.enqueue(sent, now=NOW)
        leases = claim(survivor)
        assert ids(leases) == ids(sent)
        follow_ups = jobs(2, queue="after")
        outcomes = [
            Outcome(leases[0], follow_ups=(follow_ups[0],), steps=(Step(batch, done=1),)),
            Outcome(leases[1], Ending.SNOOZE, delay=60, payload=b"rest", steps=(Step(batch, retried=1),)),
            Outcome(leases[2], result=b"r", result_ttl=60, follow_ups=(follow_ups[1],), steps=(Step(batch, done=1),)),
        ]
        victim = open_one()
        with killed_at(number) as killed:
            hand_in(victim, *outcomes)
        victim.close()
        survivor.abandon(ALICE)
        assert nothing_is_left_over(survivor)
        states = [state(survivor, id) for id in ids(sent)]
        counted = survivor.inspector().batch(batch)
        assert counted is not None
        after = claim(survivor, queues=["after"], holder=BOB)
        if states == [State.READY] * 3:
            assert (counted.done, counted.retried, after) == (0, 0, [])
        else:
            assert states == [State.DONE, State.DELAYED, State.DONE]
            assert (counted.done, counted.retried) == (2, 1)
            assert sorted(ids(after)) == sorted(ids(follow_ups))
            assert survivor.inspector().result(sent[2].id, now=NOW) == b"r"
            late = hand_in(survivor, *outcomes)
            assert late == outcomes
        survivor.inspector().delete(Selection())
        hand_in(survivor, *[Outcome(lease) for lease in after], holder=BOB)
        survivor.purge("default")
        if not killed:
            assert number > 5
            return
    raise AssertionError("it was never let through")


def test_a_job_goes_on_when_what_it_left_is_there_and_counted(open_one: Callable[[], MongoBroker]) -> None:
    """As the reader of a load does, killed between any two commands: whoever takes the job next may be the one that ends the batch."""
    survivor = open_one()
    for number in range(30):
        batch = new_id()
        (reader,) = jobs(1, batch=batch, items=0)
        survivor.enqueue([reader], now=NOW)
        (lease,) = claim(survivor)
        left = (
            *jobs(2, batch=batch, queue="after"),
            job(batch=batch, queue="after", dead=True, failure=Failure("Bad", "record")),
        )
        steps = (Step(batch, total=3, failed=1),)
        outcome = Outcome(lease, Ending.SNOOZE, payload=b"rest", follow_ups=left, steps=steps)
        victim = open_one()
        with killed_at(number) as killed:
            hand_in(victim, outcome)
        victim.close()
        counted = survivor.inspector().batch(batch)
        there = survivor.inspector().list(Selection(batch=batch, queue="after"))
        states = [one.state for one in there]
        if counted is not None and counted.failed:
            assert State.DEAD in states
        if State.READY in states:
            assert counted is not None
            assert counted.total == 3
        if claim(survivor, holder=BOB):
            assert counted is not None
            assert (counted.total, counted.failed) == (3, 1)
            assert sorted(states) == [State.DEAD, State.READY, State.READY]
        survivor.abandon(ALICE)
        assert nothing_is_left_over(survivor)
        survivor.abandon(BOB)
        survivor.inspector().delete(Selection())
        survivor.purge("default")
        survivor.purge("after")
        if not killed:
            assert number > 5
            return
    raise AssertionError("it was never let through")


def test_jobs_of_a_batch(open_one: Callable[[], MongoBroker]) -> None:
    survivor = open_one()
    for number in range(20):
        batch = new_id()
        sent = [job(batch=batch, items=10), job(batch=batch, unique=f"k{number}"), job(batch=batch, run_at=NOW + 60)]
        victim = open_one()
        with killed_at(number) as killed:
            victim.enqueue(sent, now=NOW)
        victim.close()
        settle(survivor)
        assert nothing_is_left_over(survivor)
        stored = survivor.inspector().list(Selection(batch=batch))
        counted = survivor.inspector().batch(batch)
        assert (len(stored), 0 if counted is None else counted.total) in {(0, 0), (3, 12)}
        # Its sender, started again, sends it again.
        survivor.enqueue(sent, now=NOW)
        assert ids(survivor.inspector().list(Selection(batch=batch))) == ids(sent)
        counted = survivor.inspector().batch(batch)
        assert counted is not None
        assert counted.total == 12
        if not killed:
            assert number > 3
            return
    raise AssertionError("it was never let through")


def test_messages_of_the_inbox(open_one: Callable[[], MongoBroker]) -> None:
    survivor = open_one()
    layout = survivor._opened.layout
    for number in range(20):
        layout.inbox.insert_many([{"_id": ObjectId(), "task": f"{number}"} for _ in range(3)])
        victim = open_one()
        with killed_at(number) as killed:
            victim.promote()
        victim.close()
        settle(survivor)
        ended = [claim(survivor)]
        hand_in(survivor, *[Outcome(lease) for lease in ended[0]])
        survivor.promote()
        ended.append(claim(survivor))
        hand_in(survivor, *[Outcome(lease) for lease in ended[1]])
        assert [lease.task for leases in ended for lease in leases] == [f"{number}"] * 3
        assert layout.inbox.count_documents({}) == 0
        if not killed:
            assert number > 3
            return
    raise AssertionError("it was never let through")


def test_cancelled_jobs_of_a_batch(open_one: Callable[[], MongoBroker]) -> None:
    survivor = open_one()
    for number in range(20):
        batch = new_id()
        sent = [job(batch=batch, items=5), job(batch=batch, run_at=NOW + 60)]
        survivor.enqueue(sent, now=NOW)
        victim = open_one()
        with killed_at(number) as killed:
            victim.inspector().cancel(Selection(batch=batch))
        victim.close()
        settle(survivor)
        assert nothing_is_left_over(survivor)
        counted = survivor.inspector().batch(batch)
        assert counted is not None
        states = [state(survivor, id) for id in ids(sent)]
        if counted.failed:
            assert (counted.failed, states) == (6, [State.CANCELLED] * 2)
        else:
            assert states == [State.READY, State.DELAYED]
        survivor.inspector().cancel(Selection(batch=batch))
        survivor.inspector().delete(Selection(batch=batch))
        if not killed:
            assert number > 2
            return
    raise AssertionError("it was never let through")


def test_runs_of_schedules(open_one: Callable[[], MongoBroker], monkeypatch: pytest.MonkeyPatch) -> None:
    # Whoever began something has died over it, for whoever comes next.
    monkeypatch.setattr(intents, "_PATIENCE", -1.0)
    survivor = open_one()
    schedules = [Schedule(name, "app.task", b"payload", every=30.0) for name in ("a", "b", "c")]
    timetable = Timetable(survivor.schedules())
    began = NOW - NOW % 30
    timetable.declare(schedules, now=began)
    for number in range(20):
        due = began + 30 * (number + 1)
        victim = open_one()
        with killed_at(number) as killed:
            Timetable(victim.schedules()).fire(now=due)
        victim.close()
        # What is there runs and ends: nothing but the schedules themselves tells any more that it did.
        ran = claim(survivor)
        hand_in(survivor, *map(Outcome, ran))
        timetable.fire(now=due)
        ran += claim(survivor)
        assert sorted(ids(ran)) == sorted(run_of(one, due).id for one in schedules)
        hand_in(survivor, *map(Outcome, ran[-3:]))
        assert timetable.fire(now=due + 1).runs == 0
        settle(survivor)
        assert nothing_is_left_over(survivor)
        assert survivor._opened.layout.schedules.count_documents({"mark": {"$exists": True}}) == 0
        assert claim(survivor) == []
        if not killed:
            assert number > 2
            return
    raise AssertionError("it was never let through")


@pytest.mark.parametrize("open_one", ["mongodb alone"], indirect=True)
def test_a_pause_waits_for_runs_that_are_being_stored(
    open_one: Callable[[], MongoBroker], monkeypatch: pytest.MonkeyPatch
) -> None:
    survivor = open_one()
    schedule = Schedule("a", "app.task", b"payload", every=30.0)
    Timetable(survivor.schedules()).declare([schedule], now=NOW)
    due = NOW - NOW % 30 + 30
    with killed_at(2) as killed:
        Timetable(open_one().schedules()).fire(now=due)
    assert killed
    assert Timetable(survivor.schedules()).fire(now=due).next_in == pytest.approx(0.02)
    monkeypatch.setattr(intents, "_PATIENCE", -1.0)
    assert Timetable(survivor.schedules()).pause(["a"], now=due) == 1
    assert Timetable(survivor.schedules()).fire(now=due + 60).next_in is None
    assert nothing_is_left_over(survivor)


def test_a_slow_owner_that_was_taken_for_dead_does_nothing(open_one: Callable[[], MongoBroker]) -> None:
    survivor = open_one()
    batch = new_id()
    survivor.enqueue(jobs(1, batch=batch), now=NOW)
    (lease,) = claim(survivor)
    done = Outcome(lease, follow_ups=(job(queue="after"),), steps=(Step(batch, done=1),))
    slow = open_one()
    # The commands are: places, the mark, the hidden follow-up, and the intent.
    KILLER.action = lambda: survivor.abandon(ALICE)
    KILLER.left = 3
    with pytest.raises(StoreUnavailable):
        hand_in(slow, done)
    assert hand_in(slow, done) == [done]
    counted = survivor.inspector().batch(batch)
    assert counted is not None
    assert counted.done == 0
    assert claim(survivor, queues=["after"]) == []
    assert ids(claim(survivor, holder=BOB)) == [lease.id]
    assert nothing_is_left_over(survivor)


#: A restart of a server takes seconds: in the long form, of one that stands alone as well.
@pytest.mark.parametrize("members", [1, 0] if os.environ.get("PENSTOCK_CHAOS") == "full" else [1])
def test_what_a_server_forgot_as_it_died_is_done_again_before_its_intent_is_gone(
    members: int, opened: Callable[[str], MongoBroker]
) -> None:
    with MongoServer(members=members, options=["--journalCommitInterval", "500"]) as server:
        broker = opened(server.url())
        batch = new_id()
        first, second = jobs(2, batch=batch)
        broker.enqueue([first, second], now=NOW)
        leases = claim(broker)
        hand_in(broker, Outcome(leases[0], steps=(Step(batch, done=1),)))

        def restart() -> None:
            server.kill()
            server.start()
            # So that the connection is known to be broken, and the next command takes another one.
            while True:
                with suppress(PyMongoError):
                    broker._opened.client.admin.command("ping")
                    return

        KILLER.after, KILLER.action = ("update", "penstock_batches"), restart
        try:
            hand_in(broker, Outcome(leases[1], steps=(Step(batch, done=1),)))
        finally:
            KILLER.after, KILLER.action = None, die
        assert KILLER.request is None
        assert nothing_is_left_over(broker)
        assert state(broker, second.id) is State.DONE
        counted = broker.inspector().batch(batch)
        assert counted is not None
        assert counted.done == 2


def test_a_mark_that_the_server_makes_when_it_was_taken_off_holds_up_no_ending(
    open_one: Callable[[], MongoBroker],
) -> None:
    broker = open_one()
    batch = new_id()
    (sent,) = jobs(1, batch=batch)
    broker.enqueue([sent], now=NOW)
    (lease,) = claim(broker)
    outcome = Outcome(lease, steps=(Step(batch, done=1),))
    found = broker._opened.storing.intents
    tokens: list[str] = []

    def plan(token: str, _: set[bytes]) -> Plan:
        tokens.append(token)
        raise StoreUnavailable("the connection was cut: try again")

    owner, changes = f"{ALICE.worker}/{ALICE.process}", [([sent.id], {"claim": lease.claim})]
    with pytest.raises(StoreUnavailable):
        found.carry_out(owner, changes, plan)
    found.settle_own()
    found._marked(changes, tokens[0])
    assert hand_in(broker, outcome) == []
    assert nothing_is_left_over(broker)
    assert state(broker, sent.id) is State.DONE
