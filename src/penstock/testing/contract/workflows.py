"""Workflows: a stage starts once, when those have ended that it waits for, whatever happens."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from penstock.brokers.base import Broker, Feature
from penstock.brokers.inspect import Selection
from penstock.brokers.workflows import KEPT_DONE, KEPT_FAILED, StageRecord, WorkflowRecord, Workflows
from penstock.core import handing
from penstock.core.decide import Terms, dead, succeeded
from penstock.core.job import Failure, Lease
from penstock.core.outcome import Ending, Outcome, Step
from penstock.core.standing import Awaited
from penstock.core.states import State
from penstock.core.workflow import NewStage, NewWorkflow, Rule, StageState
from penstock.errors import ConfigError, MissingFeature
from penstock.testing.contract.harness import (
    ALICE,
    NOW,
    QUEUE,
    ContractBase,
    claim,
    claim_one,
    hand_in,
    ids,
    job,
    new_id,
    state,
)

PASSES = Terms(passes=True)
BROKEN = Failure("ValueError", "no such order")
encode = msgspec.msgpack.encode


def stage(count: int = 1, *, after: Sequence[NewStage] = (), shape: Sequence[int] = (), **fields: Any) -> NewStage:
    """A stage of so many jobs; with a `shape` they take the results of all that it waits for."""
    id = new_id()
    own = {name: fields.pop(name) for name in ("rule", "name") if name in fields}
    payload = handing.opened((), {}, shape) if shape else b"payload"
    made = tuple(job(batch=id, **{"payload": payload, **fields}) for _ in range(count))
    waits = tuple(one.id for one in after)
    return NewStage(id, own.get("name", "step"), made, waits, own.get("rule", Rule.DONE), waits if shape else ())


def workflow(*stages: NewStage) -> NewWorkflow:
    """A workflow of these stages."""
    return NewWorkflow(new_id(), "flow", stages)


def started(flows: Workflows, *stages: NewStage) -> NewWorkflow:
    """A workflow of these stages that is stored."""
    made = workflow(*stages)
    flows.start(made, now=NOW)
    return made


def read(flows: Workflows, made: NewWorkflow) -> WorkflowRecord:
    """A workflow that must be stored."""
    found = flows.get(made.id)
    assert found is not None
    return found


def at(flows: Workflows, made: NewWorkflow, one: NewStage) -> StageRecord:
    """A stage of it."""
    (found,) = [each for each in read(flows, made).stages if each.id == one.id]
    return found


def done(store: Broker, *leases: Lease, value: Any = None, terms: Terms = PASSES, now: float = NOW) -> None:
    """End leases well, as a worker does."""
    outcomes = [succeeded(lease, terms, None if value is None else encode(value)) for lease in leases]
    assert hand_in(store, *outcomes, now=now) == []


def broken(store: Broker, *leases: Lease) -> None:
    """Make leases dead letters, as a worker does."""
    assert hand_in(store, *(dead(lease, BROKEN) for lease in leases)) == []


def given(lease: Lease) -> list[Any]:
    """The arguments that a job was handed."""
    return handing.own(lease.payload)


def end_together(open_store: Callable[..., Broker], leases: Sequence[Lease], ends: int) -> None:
    """End leases by so many connections, each time one by each of them at the same moment; their results are their ids."""
    barrier = threading.Barrier(ends)

    def end(number: int) -> None:
        other = open_store()
        for lease in leases[number::ends]:
            barrier.wait(20)
            other.exchange([succeeded(lease, PASSES, encode(lease.id))], (), 0, ALICE, now=NOW)

    threads = [threading.Thread(target=end, args=(number,)) for number in range(ends)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class FlowBase(ContractBase):
    """What the contract of workflows goes by."""

    @pytest.fixture
    def flows(self, store: Broker) -> Workflows:
        """The workflows of the store."""
        if Feature.WORKFLOWS not in store.features:
            pytest.skip("this broker keeps no workflows")
        return store.workflows()


class WorkflowContract(FlowBase):
    """Stages wait for one another."""

    def test_a_broker_without_them_says_so(self, store: Broker) -> None:
        if Feature.WORKFLOWS in store.features:
            assert store.workflows().get(new_id()) is None
        else:
            with pytest.raises(MissingFeature, match="workflows"):
                store.workflows()

    def test_what_waits_for_nothing_is_ready_and_the_rest_waits(self, store: Broker, flows: Workflows) -> None:
        first, other = stage(2), stage()
        last = stage(after=[first, other])
        made = started(flows, first, other, last)
        assert set(ids(claim(store))) == set(ids([*first.jobs, *other.jobs]))
        assert state(store, last.jobs[0].id) is State.WAITING
        assert ids(store.inspector().list(Selection(state=State.WAITING))) == ids(last.jobs)
        (counts,) = store.inspector().count()
        assert (counts.running, counts.waiting, counts.ready) == (3, 1, 0)
        found = read(flows, made)
        assert (found.name, found.state, found.counts) == ("flow", State.RUNNING, (4, 0, 0))
        assert [one.state for one in found.stages] == [StageState.STARTED, StageState.STARTED, StageState.WAITING]
        assert flows.get(last.id) == found
        standing = store.inspector().standing(last.jobs[0].id)
        assert standing is not None
        assert standing.awaits == (Awaited("step", 0, 2), Awaited("step", 0, 1))
        assert found.stages[2].after == (first.id, other.id)
        assert found.stages[2].first == last.jobs[0].id

    def test_the_exchange_that_ends_a_step_takes_the_next(self, store: Broker, flows: Workflows) -> None:
        steps = [stage()]
        for _ in range(4):
            steps.append(stage(after=steps[-1:]))
        made = started(flows, *steps)
        lease = claim_one(store)
        for following in steps[1:]:
            outcome = succeeded(lease, PASSES)
            (lease,) = store.exchange([outcome], (QUEUE,), 10, ALICE, now=NOW).leases
            assert lease.id == following.jobs[0].id
        assert read(flows, made).state is State.RUNNING
        done(store, lease)
        assert read(flows, made).state is State.DONE
        assert read(flows, made).counts == (5, 5, 0)
        assert claim(store) == []

    def test_the_last_of_a_group_starts_what_waits_for_it(self, store: Broker, flows: Workflows) -> None:
        group = stage(10)
        callback = stage(after=[group])
        made = started(flows, group, callback)
        leases = claim(store)
        done(store, *leases[:9])
        assert claim(store) == []
        assert at(flows, made, callback).state is StageState.WAITING
        done(store, leases[9], now=NOW + 3)
        assert claim_one(store).id == callback.jobs[0].id
        assert (at(flows, made, group).ended_at, at(flows, made, callback).started_at) == (NOW + 3, NOW + 3)

    def test_results_are_handed_on_in_the_order_of_the_jobs(self, store: Broker, flows: Workflows) -> None:
        group, single = stage(5), stage()
        callback = stage(after=[group, single], shape=[1, 0])
        merged = stage(after=[group, single], shape=[2])
        started(flows, group, single, callback, merged)
        leases = claim(store)
        for number, lease in reversed(list(enumerate(leases))):
            done(store, lease, value=None if number == 2 else f"result {number}")
        values = ["result 0", "result 1", None, "result 3", "result 4"]
        one, other = claim(store)
        assert given(one) == [values, "result 5"]
        assert given(other) == [[*values, "result 5"]]

    def test_an_ending_that_is_handed_in_twice_starts_it_once(self, store: Broker, flows: Workflows) -> None:
        first = stage()
        last = stage(after=[first])
        started(flows, first, last)
        outcome = succeeded(claim_one(store), PASSES)
        assert hand_in(store, outcome) == []
        assert hand_in(store, outcome) == [outcome]
        done(store, claim_one(store))
        assert hand_in(store, outcome) == [outcome]
        assert claim(store) == []

    def test_a_workflow_that_is_stored_twice_is_there_once(self, store: Broker, flows: Workflows) -> None:
        first = stage()
        made = started(flows, first, stage(after=[first]))
        flows.start(made, now=NOW)
        done(store, claim_one(store))
        flows.start(made, now=NOW)
        done(store, claim_one(store))
        flows.start(made, now=NOW)
        assert claim(store) == []
        assert read(flows, made).counts == (2, 2, 0)

    def test_a_retry_keeps_what_waits_waiting(self, store: Broker, flows: Workflows) -> None:
        first = stage()
        last = stage(after=[first])
        made = started(flows, first, last)
        lease = claim_one(store)
        steps = (Step(first.id, retried=1),)
        assert hand_in(store, Outcome(lease, Ending.RETRY, failure=BROKEN, steps=steps)) == []
        store.promote(now=NOW)
        lease = claim_one(store)
        assert at(flows, made, last).state is StageState.WAITING
        done(store, lease)
        assert claim_one(store).id == last.jobs[0].id

    def test_a_stage_without_jobs_has_ended(self, store: Broker, flows: Workflows) -> None:
        nothing = stage(0)
        still = stage(0, after=[nothing])
        last = stage(after=[still], shape=[1])
        made = started(flows, nothing, still, last)
        lease = claim_one(store)
        assert given(lease) == [[]]
        done(store, lease)
        assert read(flows, made).state is State.DONE

    def test_a_delay_counts_from_the_start_of_the_stage(self, store: Broker, flows: Workflows) -> None:
        first = stage()
        later, dated = stage(after=[first], delay=30.0), stage(after=[first], run_at=NOW + 50)
        past = stage(after=[first], run_at=NOW - 50)
        started(flows, first, later, dated, past)
        done(store, claim_one(store), now=NOW + 10)
        assert ids(claim(store, now=NOW + 10)) == ids(past.jobs)
        assert state(store, later.jobs[0].id) is State.DELAYED
        store.promote(now=NOW + 41)
        assert ids(claim(store, now=NOW + 41)) == ids(later.jobs)
        store.promote(now=NOW + 51)
        assert ids(claim(store, now=NOW + 51)) == ids(dated.jobs)

    def test_results_are_kept_until_those_have_started_that_take_them(self, store: Broker, flows: Workflows) -> None:
        first, slow = stage(), stage()
        last = stage(after=[first, slow], shape=[0, 0])
        started(flows, first, slow, last)
        one, two = claim(store)
        done(store, one, value="kept", terms=Terms(passes=True, result_ttl=1.0))
        store.prune(now=NOW + 100)
        done(store, two, value="too", now=NOW + 100)
        assert given(claim_one(store, now=NOW + 100)) == ["kept", "too"]
        store.prune(now=NOW + 100 + KEPT_DONE + 1)
        assert store.inspector().result(one.id, now=NOW) is None

    def test_results_are_kept_for_the_last_that_takes_them(self, store: Broker, flows: Workflows) -> None:
        first, slow = stage(2), stage()
        early = stage(after=[first], shape=[1])
        late = stage(after=[first, slow], shape=[1, 0])
        made = started(flows, first, slow, early, late)
        *two, waits = claim(store)
        done(store, *two, value="kept", terms=Terms(passes=True, result_ttl=1.0))
        taken = claim_one(store)
        assert given(taken) == [["kept", "kept"]]
        done(store, taken)
        for day in (0.1, 1.1, 2.2, KEPT_FAILED / KEPT_DONE + 1, 3 * KEPT_FAILED / KEPT_DONE):
            store.prune(now=NOW + day * KEPT_DONE)
        now = NOW + 3 * KEPT_FAILED + 1
        done(store, waits, value="too", now=now)
        taken = claim_one(store, now=now)
        assert given(taken) == [["kept", "kept"], "too"]
        done(store, taken, now=now)
        for day in (1.1, 2.2):
            store.prune(now=now + day * KEPT_DONE)
        assert flows.get(made.id) is None
        assert [store.inspector().result(one.id, now=NOW) for one in two] == [None, None]

    def test_jobs_that_join_a_stage_are_waited_for(self, store: Broker, flows: Workflows) -> None:
        first = stage()
        last = stage(after=[first], shape=[1])
        started(flows, first, last)
        lease = claim_one(store)
        more = tuple(job(batch=first.id) for _ in range(2))
        outcome = succeeded(lease, PASSES, encode("parent"))
        grown = msgspec.structs.replace(outcome, follow_ups=more, steps=(*outcome.steps, Step(first.id, total=2)))
        assert hand_in(store, grown) == []
        for lease in claim(store):
            assert lease.id in ids(more)
            done(store, lease, value="child")
        assert given(claim_one(store)) == [["parent", "child", "child"]]

    def test_a_workflow_is_forgotten_a_day_after_its_end(self, store: Broker, flows: Workflows) -> None:
        first, second = stage(), stage()
        good, bad = started(flows, first, stage(after=[first])), started(flows, second, stage(after=[second]))
        one, two = claim(store)
        done(store, one)
        broken(store, two)
        store.prune(now=NOW + KEPT_DONE + 1)
        assert flows.get(good.id) is not None
        done(store, claim_one(store), now=NOW + KEPT_DONE)
        store.prune(now=NOW + KEPT_DONE * 1.5)
        assert flows.get(good.id) is not None
        store.prune(now=NOW + KEPT_DONE * 2.5)
        assert flows.get(good.id) is None
        assert read(flows, bad).state is State.DEAD
        store.prune(now=NOW + KEPT_FAILED + KEPT_DONE)
        assert flows.get(bad.id) is None

    def test_what_would_never_end_is_refused(self, flows: Workflows) -> None:
        first = stage()
        last = stage(after=[first])
        with pytest.raises(ConfigError, match="before it"):
            flows.start(workflow(last, first))
        with pytest.raises(ConfigError, match="unique"):
            flows.start(workflow(stage(unique="k")))
        with pytest.raises(ConfigError, match="of its batch"):
            flows.start(workflow(msgspec.structs.replace(first, jobs=(job(),))))
        with pytest.raises(ConfigError, match="take results"):
            flows.start(workflow(stage(shape=[0])))

    def test_what_is_under_way_does_not_move(self, store: Broker, flows: Workflows) -> None:
        first = stage()
        started(flows, first, stage(after=[first]))
        with pytest.raises(MissingFeature, match="workflows are under way"):
            store.transfer().ship(new_id(), "elsewhere", None, 10, now=NOW)
        for _ in range(2):
            done(store, claim_one(store))
        store.enqueue([job()], now=NOW)
        assert store.transfer().ship(new_id(), "elsewhere", None, 10, now=NOW) is not None

    def test_many_that_end_at_once_start_it_once(
        self, store: Broker, flows: Workflows, open_store: Callable[..., Broker]
    ) -> None:
        ends = 4
        groups = [stage(ends) for _ in range(8)]
        callbacks = [stage(after=[group], shape=[1]) for group in groups]
        started(flows, *groups, *callbacks)
        end_together(open_store, claim(store), ends)
        taken = claim(store)
        wanted = {callback.jobs[0].id: [ids(group.jobs)] for group, callback in zip(groups, callbacks, strict=True)}
        assert {lease.id: given(lease) for lease in taken} == wanted
        assert len(taken) == len(callbacks)

    def test_stages_that_end_at_once_start_what_waits_for_all_of_them(
        self, store: Broker, flows: Workflows, open_store: Callable[..., Broker]
    ) -> None:
        ends = 4
        steps = [[stage() for _ in range(ends)] for _ in range(8)]
        callbacks = [stage(after=of, shape=[ends]) for of in steps]
        started(flows, *(one for of in steps for one in of), *callbacks)
        end_together(open_store, claim(store), ends)
        taken = claim(store)
        wanted = {
            callback.jobs[0].id: [[one.jobs[0].id for one in of]] for of, callback in zip(steps, callbacks, strict=True)
        }
        assert {lease.id: given(lease) for lease in taken} == wanted
        assert len(taken) == len(callbacks)
