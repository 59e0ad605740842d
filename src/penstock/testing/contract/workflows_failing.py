"""Workflows of which something fails, is cancelled or goes missing: what waited for it, and how they go on."""

from __future__ import annotations

import msgspec

from penstock.brokers.base import Broker
from penstock.brokers.inspect import Selection
from penstock.brokers.workflows import Workflows
from penstock.core import handing
from penstock.core.job import Failure
from penstock.core.outcome import Ending, Outcome, Step
from penstock.core.states import State
from penstock.core.workflow import Rule, StageState
from penstock.testing.contract.harness import (
    BOB,
    NOW,
    claim,
    claim_one,
    hand_in,
    record,
    rescue_from,
    state,
)
from penstock.testing.contract.workflows import BROKEN, FlowBase, at, broken, done, given, read, stage, started


class WorkflowFailureContract(FlowBase):
    """What waits for a failure is cancelled, and goes on where somebody says so."""

    def test_a_failure_cancels_all_that_waits_for_it(self, store: Broker, flows: Workflows) -> None:
        group = stage(3, name="shop.pay")
        callback = stage(after=[group], name="shop.ship")
        last = stage(2, after=[callback])
        apart = stage()
        made = started(flows, group, callback, last, apart)
        leases = claim(store)
        broken(store, leases[1])
        ended = [at(flows, made, one) for one in (callback, last)]
        assert [one.state for one in ended] == [StageState.CANCELLED, StageState.CANCELLED]
        assert ended[0].reason == "shop.pay failed: ValueError: no such order"
        assert ended[1].reason == ended[0].reason
        assert [state(store, one.id) for one in (*callback.jobs, *last.jobs)] == [State.CANCELLED] * 3
        assert str(record(store, callback.jobs[0].id).failure) == f"Cancelled: {ended[0].reason}"
        assert read(flows, made).state is State.RUNNING
        done(store, leases[0], *leases[2:])
        assert read(flows, made).state is State.DEAD
        assert read(flows, made).counts == (7, 3, 4)
        assert claim(store) == []

    def test_what_waits_for_the_end_gets_failures_too(self, store: Broker, flows: Workflows) -> None:
        group = stage(3)
        callback = stage(after=[group], rule=Rule.ENDED, shape=[1])
        started(flows, group, callback)
        leases = claim(store)
        broken(store, leases[1])
        done(store, leases[0], value=1)
        assert claim(store) == []
        done(store, leases[2], value=3)
        ((one, failure, three),) = given(claim_one(store))
        assert (one, three) == (1, 3)
        assert msgspec.convert(failure, Failure) == BROKEN

    def test_what_waits_for_a_failure_gets_it(self, store: Broker, flows: Workflows) -> None:
        first = stage()
        second = stage(after=[first])
        callback = stage(after=[first, second], rule=Rule.FAILED)
        opened = msgspec.structs.replace(callback.jobs[0], payload=handing.opened(("mine",), {}, [0]))
        callback = msgspec.structs.replace(callback, jobs=(opened,))
        made = started(flows, first, second, callback)
        broken(store, claim_one(store))
        failure, own = given(claim_one(store))
        assert msgspec.convert(failure, Failure) == BROKEN
        assert own == "mine"
        assert at(flows, made, second).state is StageState.CANCELLED

    def test_what_waits_for_a_failure_is_skipped_where_there_is_none(self, store: Broker, flows: Workflows) -> None:
        first = stage()
        callback = stage(after=[first], rule=Rule.FAILED)
        made = started(flows, first, callback)
        done(store, claim_one(store))
        assert at(flows, made, callback).state is StageState.SKIPPED
        assert claim(store) == []
        assert read(flows, made).state is State.DONE
        assert read(flows, made).counts == (1, 1, 0)

    def test_a_failed_workflow_goes_on_from_where_it_failed(self, store: Broker, flows: Workflows) -> None:
        group = stage(3)
        callback = stage(after=[group], shape=[1])
        last = stage(2, after=[callback], shape=[0])
        made = started(flows, group, callback, last)
        leases = claim(store)
        done(store, leases[0], value="a")
        broken(store, leases[1])
        done(store, leases[2], value="c")
        # By itself none of those runs that lack what they are to be given.
        assert store.inspector().retry(Selection(batch=callback.id)) == 0
        assert flows.resume(made.id, now=NOW) == 4
        assert read(flows, made).counts == (6, 2, 0)
        again = claim_one(store)
        assert (again.id, again.attempt) == (leases[1].id, 0)
        broken(store, again)
        assert flows.resume(made.id, now=NOW) == 4
        done(store, claim_one(store), value="b")
        lease = claim_one(store)
        assert given(lease) == [["a", "b", "c"]]
        done(store, lease, value="abc")
        assert [given(one) for one in claim(store)] == [["abc"], ["abc"]]
        assert flows.resume(made.id, now=NOW) == 0

    def test_a_job_that_is_retried_by_itself_counts(self, store: Broker, flows: Workflows) -> None:
        first = stage()
        last = stage(after=[first])
        made = started(flows, first, last)
        broken(store, claim_one(store))
        assert store.inspector().retry(Selection(ids=(first.jobs[0].id,))) == 1
        done(store, claim_one(store))
        assert claim(store) == []
        assert flows.resume(made.id, now=NOW) == 1
        assert claim_one(store).id == last.jobs[0].id

    def test_a_workflow_is_cancelled_whole(self, store: Broker, flows: Workflows) -> None:
        first, other = stage(2), stage()
        last = stage(after=[first])
        failing = stage(after=[first, other], rule=Rule.FAILED)
        made = started(flows, first, other, last, failing)
        (running,) = claim(store, 1)
        assert flows.cancel(made.id, now=NOW) == 5
        assert claim(store) == []
        assert hand_in(store, Outcome(running, Ending.CANCELLED, steps=(Step(first.id, failed=1),))) == []
        assert claim(store) == []
        assert read(flows, made).state is State.DEAD
        assert at(flows, made, last).reason == "the workflow was cancelled"
        assert flows.resume(made.id, now=NOW) == 5
        done(store, *claim(store))
        done(store, claim_one(store))
        assert read(flows, made).state is State.DONE

    def test_cancelling_one_job_cancels_what_waits_for_it(self, store: Broker, flows: Workflows) -> None:
        first = stage(name="first")
        second = stage(2, after=[first])
        last = stage(after=[second])
        made = started(flows, first, second, last)
        assert store.inspector().cancel(Selection(ids=(second.jobs[0].id,))) == 1
        assert at(flows, made, last).state is StageState.CANCELLED
        done(store, claim_one(store))
        assert claim_one(store).id == second.jobs[1].id
        assert store.inspector().cancel(Selection(batch=second.id)) == 1

    def test_jobs_that_are_deleted_count_as_failed(self, store: Broker, flows: Workflows) -> None:
        first, other = stage(2), stage(queue="other")
        last, behind = stage(after=[first]), stage(after=[other])
        made = started(flows, first, other, last, behind)
        assert store.inspector().delete(Selection(ids=(first.jobs[1].id,))) == 1
        assert at(flows, made, last).state is StageState.CANCELLED
        assert store.purge("other") == 1
        assert at(flows, made, behind).state is StageState.CANCELLED
        done(store, claim_one(store))
        assert read(flows, made).state is State.DEAD

    def test_jobs_that_are_deleted_keep_their_places_among_the_results(self, store: Broker, flows: Workflows) -> None:
        group = stage(5)
        callback = stage(after=[group], rule=Rule.ENDED, shape=[1])
        started(flows, group, callback)
        assert store.inspector().delete(Selection(ids=(group.jobs[0].id,))) == 1
        leases = claim(store)
        broken(store, leases[0], leases[2])
        assert store.inspector().delete(Selection(ids=(leases[0].id,))) == 1
        store.prune(now=NOW + 1)
        done(store, leases[1], value="c")
        done(store, leases[3], value="e")
        ((one, two, three, failure, five),) = given(claim_one(store))
        assert (one, two, three, five) == (None, None, "c", "e")
        assert msgspec.convert(failure, Failure) == BROKEN

    def test_the_results_of_a_stage_of_which_the_rest_is_deleted(self, store: Broker, flows: Workflows) -> None:
        group = stage(3)
        callback = stage(after=[group], rule=Rule.ENDED, shape=[1])
        started(flows, group, callback)
        one, two, three = claim(store)
        again = (Step(group.id, retried=1),)
        assert hand_in(store, Outcome(one, Ending.RETRY, delay=30.0, failure=BROKEN, steps=again)) == []
        done(store, two, value="b")
        broken(store, three)
        # What is delayed and what failed, together: the callback starts by that.
        assert store.inspector().delete(Selection(batch=group.id)) == 2
        ((nothing, value, _),) = given(claim_one(store))
        assert (nothing, value) == (None, "b")

    def test_a_job_that_died_and_may_not_run_twice_fails_its_stage(self, store: Broker, flows: Workflows) -> None:
        first = stage(at_most_once=True)
        last = stage(after=[first])
        made = started(flows, first, last)
        claim_one(store, BOB)
        rescue_from(store, BOB)
        assert at(flows, made, last).state is StageState.CANCELLED

    def test_a_worker_that_dies_after_the_last_job_ran_has_it_run_again(self, store: Broker, flows: Workflows) -> None:
        first = stage()
        last = stage(after=[first])
        started(flows, first, last)
        claim_one(store, BOB)
        assert store.abandon(BOB) == 1
        done(store, claim_one(store))
        assert claim_one(store).id == last.jobs[0].id

    def test_results_that_are_too_much_cancel_the_stage(self, store: Broker, flows: Workflows) -> None:
        group = stage(3)
        callback = stage(after=[group], shape=[1])
        made = started(flows, group, callback)
        done(store, *claim(store), value=b"x" * (handing.MOST_HANDED // 3))
        found = at(flows, made, callback)
        assert found.state is StageState.CANCELLED
        assert "store them, and return where they are" in (found.reason or "")

    def test_a_job_that_was_cancelled_as_it_waited_is_resumed_with_the_rest(
        self, store: Broker, flows: Workflows
    ) -> None:
        first = stage()
        group = stage(2, after=[first])
        made = started(flows, first, group, stage(after=[group]))
        assert store.inspector().cancel(Selection(ids=(group.jobs[0].id,))) == 1
        assert flows.resume(made.id, now=NOW) == 2
        assert state(store, group.jobs[0].id) is State.WAITING
        done(store, claim_one(store))
        done(store, *claim(store))
        done(store, claim_one(store))
        assert read(flows, made).state is State.DONE

    def test_what_waits_for_a_job_that_was_deleted_is_not_resumed(self, store: Broker, flows: Workflows) -> None:
        first = stage()
        group = stage(2, after=[first])
        last, empty = stage(2, after=[group]), stage(0, after=[group])
        behind = stage(after=[last])
        made = started(flows, first, group, last, empty, behind)
        assert store.inspector().delete(Selection(ids=(group.jobs[0].id,))) == 1
        assert store.inspector().cancel(Selection(ids=(first.jobs[0].id,))) == 1
        assert flows.resume(made.id, now=NOW)
        states = {one: at(flows, made, one).state for one in (first, group, last, empty, behind)}
        assert states == {
            first: StageState.STARTED, group: StageState.WAITING,
            last: StageState.CANCELLED, empty: StageState.CANCELLED, behind: StageState.CANCELLED,
        }  # fmt: skip
        assert [state(store, one.jobs[0].id) for one in (last, behind)] == [State.CANCELLED] * 2
        done(store, claim_one(store))
        done(store, claim_one(store))
        assert claim(store) == []
        assert read(flows, made).state is State.DEAD

    def test_what_is_not_wanted_any_more_when_it_is_resumed_is_skipped(self, store: Broker, flows: Workflows) -> None:
        first = stage()
        last, failing = stage(after=[first]), stage(3, after=[first], rule=Rule.FAILED)
        made = started(flows, first, last, failing)
        lease = claim_one(store)
        assert flows.cancel(made.id, now=NOW) == 5
        # It ran to its end all the same.
        done(store, lease)
        assert flows.resume(made.id, now=NOW) >= 1
        assert at(flows, made, failing).state is StageState.SKIPPED
        assert [one.id for one in store.inspector().list(Selection(batch=failing.id))] == []
        done(store, claim_one(store))
        assert claim(store) == []
        assert read(flows, made).state is State.DONE

    def test_a_job_of_a_stage_that_was_skipped_does_not_run_again(self, store: Broker, flows: Workflows) -> None:
        first = stage()
        failing = stage(2, after=[first], rule=Rule.FAILED)
        started(flows, first, failing)
        cancelled = Selection(ids=(failing.jobs[0].id,))
        assert store.inspector().cancel(cancelled) == 1
        done(store, claim_one(store))
        assert store.inspector().retry(cancelled) == 0
        assert claim(store) == []

    def test_what_is_cancelled_together_does_not_start_one_another(self, store: Broker, flows: Workflows) -> None:
        first = stage()
        last, failing = stage(after=[first]), stage(after=[first], rule=Rule.FAILED)
        started(flows, first, last, failing)
        chosen = Selection(ids=(first.jobs[0].id, last.jobs[0].id, failing.jobs[0].id))
        assert store.inspector().cancel(chosen) == 3
        assert claim(store) == []
