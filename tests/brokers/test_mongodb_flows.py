"""Killed between any two commands of a workflow: nothing is stuck, and nothing is started twice."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from killing import KILLER, die, killed_at, nothing_is_left_over, settle

from penstock.brokers import connect
from penstock.brokers.inspect import Selection
from penstock.brokers.mongodb import intents
from penstock.brokers.mongodb.broker import MongoBroker
from penstock.core.decide import dead, succeeded
from penstock.core.job import Failure, Lease
from penstock.core.outcome import Outcome
from penstock.core.states import State
from penstock.core.workflow import NewStage, NewWorkflow, Rule, StageState
from penstock.testing.contract.harness import ALICE, BOB, NOW, claim, hand_in, ids
from penstock.testing.contract.workflows import PASSES, given, stage, workflow

FULL = os.environ.get("PENSTOCK_CHAOS") == "full"
#: What is done for a workflow takes no transaction, so that one kind of server will do for every day; and one command in so many.
KINDS = ["mongodb", "mongodb alone"] if FULL else ["mongodb alone"]
STEP = 1 if FULL else 3


@pytest.fixture(params=KINDS)
def open_one(
    request: pytest.FixtureRequest,
    stores: dict[str, Any],
    tmp_path: Path,
    opened: Callable[[str], MongoBroker],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[], MongoBroker]]:
    # Whoever began something has died over it, for whoever comes next.
    monkeypatch.setattr(intents, "_PATIENCE", -1.0)
    url = stores[request.param](request, tmp_path)()
    yield lambda: opened(url)
    KILLER.left, KILLER.action = None, die


def result(lease: Lease) -> Outcome:
    """A lease ends well, with its id for a result."""
    return succeeded(lease, PASSES, msgspec.msgpack.encode(lease.id))


def driven(broker: MongoBroker) -> Counter[bytes]:
    """Run all there is; how often each job ran."""
    ran: Counter[bytes] = Counter()
    while leases := claim(broker, holder=BOB):
        ran.update(ids(leases))
        assert hand_in(broker, *map(result, leases), holder=BOB) == []
    return ran


def chords() -> tuple[NewStage, NewStage, NewStage, NewStage, NewWorkflow]:
    """A group, its callback, what follows that, and what is done where the group fails."""
    group = stage(3)
    callback = stage(after=[group], shape=[1])
    last = stage(2, after=[callback], shape=[0])
    failing = stage(after=[group], rule=Rule.FAILED)
    return group, callback, last, failing, workflow(group, callback, last, failing)


def all_of(*stages: NewStage) -> Counter[bytes]:
    return Counter(id for one in stages for id in ids(one.jobs))


def states(broker: MongoBroker, made: NewWorkflow) -> Sequence[StageState]:
    found = broker.workflows().get(made.id)
    assert found is not None
    return [one.state for one in found.stages]


def is_whole(broker: MongoBroker) -> bool:
    """Is nothing left half done?"""
    layout = broker._opened.layout
    begun = {"$or": [{field: {"$exists": True}} for field in ("birth", "doing", "given")]}
    orphans = layout.stages.count_documents(begun) + layout.flows.count_documents({"birth": {"$exists": True}})
    return nothing_is_left_over(broker) and not orphans


def test_storing_one(open_one: Callable[[], MongoBroker]) -> None:
    survivor = open_one()
    for number in range(0, 30, STEP):
        group, callback, last, _, made = chords()
        victim = open_one()
        with killed_at(number) as killed:
            victim.workflows().start(made, now=NOW)
        victim.close()
        settle(survivor)
        assert is_whole(survivor)
        stored = survivor.workflows().get(made.id) is not None
        assert len(survivor.inspector().list(Selection())) == (7 if stored else 0)
        # Its sender, started again, sends it again.
        survivor.workflows().start(made, now=NOW)
        assert driven(survivor) == all_of(group, callback, last)
        if not killed:
            assert number > 5
            return
    raise AssertionError("it was never let through")


def test_the_end_of_a_group(open_one: Callable[[], MongoBroker]) -> None:
    survivor = open_one()
    for number in range(0, 40, STEP):
        group, callback, last, _, made = chords()
        survivor.workflows().start(made, now=NOW)
        leases = claim(survivor)
        hand_in(survivor, result(leases[0]))
        victim = open_one()
        with killed_at(number) as killed:
            hand_in(victim, *map(result, leases[1:]))
        victim.close()
        survivor.abandon(ALICE)
        assert is_whole(survivor)
        again = claim(survivor, holder=BOB)
        if ids(again) == ids(leases[1:]):
            assert states(survivor, made)[1] is StageState.WAITING
            hand_in(survivor, *map(result, again), holder=BOB)
            again = claim(survivor, holder=BOB)
        assert [(one.id, given(one)) for one in again] == [(callback.jobs[0].id, [ids(group.jobs)])]
        assert states(survivor, made) == ["started", "started", "waiting", "skipped"]
        hand_in(survivor, *map(result, again), holder=BOB)
        assert driven(survivor) == all_of(last)
        if not killed:
            assert number > 12
            return
    raise AssertionError("it was never let through")


def test_a_failure_and_what_goes_on_after_it(open_one: Callable[[], MongoBroker]) -> None:
    survivor = open_one()
    for number in range(0, 40, STEP):
        _, callback, last, failing, made = chords()
        survivor.workflows().start(made, now=NOW)
        leases = claim(survivor)
        hand_in(survivor, *map(result, leases[1:]))
        broken = dead(leases[0], Failure("ValueError", "no such order"))
        victim = open_one()
        with killed_at(number) as killed:
            hand_in(victim, broken)
        victim.close()
        survivor.abandon(ALICE)
        assert is_whole(survivor)
        if states(survivor, made)[1] is StageState.WAITING:
            (again,) = claim(survivor, holder=BOB)
            hand_in(survivor, dead(again, Failure("ValueError", "no such order")), holder=BOB)
        assert states(survivor, made) == ["started", "cancelled", "cancelled", "started"]
        assert driven(survivor) == all_of(failing)
        victim = open_one()
        with killed_at(number) as killed_too:
            victim.workflows().resume(made.id, now=NOW)
        victim.close()
        settle(survivor)
        assert is_whole(survivor)
        survivor.workflows().resume(made.id, now=NOW)
        assert driven(survivor) == all_of(callback, last) + Counter([leases[0].id])
        found = survivor.workflows().get(made.id)
        assert found is not None
        assert (found.state, found.counts) == (State.DONE, (7, 7, 0))
        if not killed and not killed_too:
            assert number > 12
            return
    raise AssertionError("it was never let through")


def test_cancelling_one(open_one: Callable[[], MongoBroker]) -> None:
    survivor = open_one()
    for number in range(0, 40, STEP):
        *_, made = chords()
        survivor.workflows().start(made, now=NOW)
        victim = open_one()
        with killed_at(number) as killed:
            victim.workflows().cancel(made.id, now=NOW)
        victim.close()
        settle(survivor)
        assert is_whole(survivor)
        survivor.workflows().cancel(made.id, now=NOW)
        found = survivor.workflows().get(made.id)
        assert found is not None
        assert (found.state, found.counts) == (State.DEAD, (7, 0, 7))
        assert driven(survivor) == {}
        if not killed:
            assert number > 8
            return
    raise AssertionError("it was never let through")


def test_a_repair_that_died_over_a_job_that_waits(open_one: Callable[[], MongoBroker]) -> None:
    survivor = open_one()
    for number in range(0, 20, STEP):
        group, callback, last, _, made = chords()
        survivor.workflows().start(made, now=NOW)
        victim = open_one()
        with killed_at(number) as killed:
            victim.inspector().cancel(Selection(ids=(last.jobs[0].id,)))
        victim.close()
        ran = driven(survivor)
        settle(survivor)
        ran += driven(survivor)
        # The job was cancelled, or it was not; what waits with it is not held up.
        assert ran[last.jobs[1].id] == 1
        assert ran - Counter([last.jobs[0].id]) == all_of(group, callback) + Counter([last.jobs[1].id])
        assert is_whole(survivor)
        found = survivor.workflows().get(made.id)
        assert found is not None
        assert found.state is (State.DONE if ran[last.jobs[0].id] else State.DEAD)
        survivor.inspector().delete(Selection())
        if not killed:
            assert number > 2
            return
    raise AssertionError("it was never let through")


@pytest.fixture
def store(request: pytest.FixtureRequest, stores: dict[str, Any], tmp_path: Path) -> Iterator[MongoBroker]:
    broker = connect(stores["mongodb"](request, tmp_path)())
    assert isinstance(broker, MongoBroker)
    broker.open()
    yield broker
    broker.close()


def test_workflows_join_a_transaction_of_the_users(store: MongoBroker) -> None:
    nothing = stage(0)
    first = stage(2)
    last = stage(after=[nothing, first], shape=[2])
    made = workflow(nothing, first, last)
    client = store._opened.client
    for is_meant in (False, True):
        with client.start_session() as session, session.start_transaction():
            store.workflows().start(made, now=NOW, tx=session)
            if not is_meant:
                session.abort_transaction()
        assert (store.workflows().get(made.id) is not None) is is_meant
        assert len(store.inspector().list(Selection())) == 3 * is_meant
    with client.start_session() as session, session.start_transaction():
        store.workflows().start(made, now=NOW, tx=session)
    assert driven(store) == all_of(first, last)


def test_what_follows_from_a_transaction_is_done_when_it_is_committed(store: MongoBroker) -> None:
    for is_killed in (False, True):
        group, callback, last, _, made = chords()
        store.workflows().start(made, now=NOW)
        leases = claim(store)
        hand_in(store, result(leases[0]))
        with store._opened.client.start_session() as session, session.start_transaction():
            ended = store.exchange(list(map(result, leases[1:])), (), 0, ALICE, now=NOW, tx=session)
            assert ended.stale == []
            # It may yet be aborted.
            assert claim(store) == []
        if is_killed:
            store._opened.storing.intents.owed.clear()
            assert claim(store) == []
            assert store.abandon(ALICE) == 0
        (lease,) = claim(store)
        assert (lease.id, given(lease)) == (callback.jobs[0].id, [ids(group.jobs)])
        hand_in(store, result(lease))
        assert driven(store) == all_of(last)
        assert is_whole(store)
