"""Workflows in Redis that take more than one script: whoever dies between two of them, nothing starts too early, twice or never."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis
from redis_servers import Cluster, ask

from penstock.brokers.base import Broker
from penstock.brokers.inspect import Selection
from penstock.brokers.redis.broker import RedisBroker
from penstock.brokers.redis.link import Argument, Link
from penstock.brokers.redis.workflows import RedisWorkflows
from penstock.brokers.workflows import EVERY_WORKFLOW, KEPT_DONE
from penstock.core.decide import Terms, succeeded
from penstock.core.outcome import Step
from penstock.core.states import State
from penstock.core.workflow import NewWorkflow, Rule, StageState
from penstock.errors import MissingFeature, StoreError
from penstock.stores import redis as store_of
from penstock.testing.contract.harness import NOW, claim, claim_one, hand_in, ids, job, new_id, state
from penstock.testing.contract.workflows import at, broken, done, encode, given, read, stage, started, workflow

#: More jobs than one script stores or starts.
MANY = 700


class Cut(Link):
    """A connection over which one program runs so many scripts, and is gone."""

    def __init__(self, url: str, scripts: int) -> None:
        super().__init__(store_of.parse(url))
        self.left = scripts
        self.open()

    def run(self, name: str, *arguments: Argument) -> Any:
        if self.left == 0:
            raise ConnectionAbortedError
        self.left -= 1
        return super().run(name, *arguments)


def cut_after(url: str, scripts: int, do: Callable[[RedisWorkflows], object]) -> bool:
    """Do something that is cut off after so many scripts. Was it?"""
    with closing(Cut(url, scripts)) as link:
        try:
            do(RedisWorkflows(link))
        except ConnectionAbortedError:
            return True
    return False


@pytest.fixture
def url(request: pytest.FixtureRequest, stores: dict[str, Any], tmp_path: Path) -> str:
    made: str = stores["redis"](request, tmp_path)()
    return made


@pytest.fixture
def store(url: str) -> Iterator[RedisBroker]:
    with closing(RedisBroker(url)) as broker:
        broker.open()
        yield broker


@pytest.fixture
def flows(store: RedisBroker) -> RedisWorkflows:
    return store.workflows()


def names(url: str) -> set[bytes]:
    """The keys of a queue, without their prefix."""
    address, _, namespace = url.partition("?namespace=")
    prefix = f"{{{namespace}}}:".encode()
    with redis.Redis.from_url(address) as client:
        return {key.removeprefix(prefix) for key in client.keys(prefix + b"*")}


def run_all(store: Broker, now: float = NOW) -> list[bytes]:
    """Run what there is until there is no more. Returns the ids of those that ran."""
    ran: list[bytes] = []
    while leases := claim(store, now=now):
        done(store, *leases, value=7, now=now)
        ran += ids(leases)
    return ran


def wide() -> NewWorkflow:
    """A step, many that wait for it, and one that takes what these return."""
    first = stage()
    group = stage(MANY, after=[first])
    return workflow(first, group, stage(after=[group], shape=[1]))


def jobs_of(made: NewWorkflow) -> list[bytes]:
    return [one.id for each in made.stages for one in each.jobs]


def test_a_large_group_is_stored_and_started_by_parts(store: RedisBroker, flows: RedisWorkflows) -> None:
    made = wide()
    flows.start(made, now=NOW)
    (counts,) = store.inspector().count()
    assert (counts.ready, counts.waiting) == (1, MANY + 1)
    done(store, claim_one(store))
    (counts,) = store.inspector().count()
    assert 0 < counts.ready < MANY
    # Each exchange goes on with it; the jobs stay in their order.
    leases = claim(store, MANY)
    assert ids(leases) == ids(made.stages[1].jobs)
    done(store, *leases[1:], value="it")
    assert claim(store) == []
    done(store, leases[0], value="first")
    (results,) = given(claim_one(store))
    assert results == ["first", *["it"] * (MANY - 1)]


def test_what_a_dead_program_left_others_go_on_with(url: str, store: RedisBroker, flows: RedisWorkflows) -> None:
    made = wide()
    flows.start(made, now=NOW)
    done(store, claim_one(store))
    assert ask_left(url) == 1
    with closing(RedisBroker(url)) as other:
        other.open()
        other.promote(now=NOW)
        assert ask_left(url) == 0
        assert sorted(run_all(other)) == sorted(jobs_of(made)[1:])
    assert read(flows, made).state is State.DONE


def ask_left(url: str) -> int:
    """Stages that are to be seen to yet."""
    return int(ask(url, "LLEN", "{" + url.partition("?namespace=")[2] + "}:flows_todo"))


def test_a_workflow_whose_program_dies_as_it_stores_it_is_there_whole_or_not_at_all(
    url: str, store: RedisBroker, flows: RedisWorkflows
) -> None:
    cuts = 0
    while True:
        made = workflow(stage(MANY), stage())
        if not cut_after(url, cuts, lambda flows, made=made: flows.start(made, now=NOW)):
            break
        cuts += 1
        if flows.get(made.id) is None:
            assert run_all(store) == []
            # Nothing of it can be taken out.
            assert store.inspector().cancel(Selection(batch=made.stages[0].id)) == 0
            assert store.inspector().delete(Selection(state=State.WAITING)) == 0
            flows.start(made, now=NOW)
        store.promote(now=NOW)
        assert sorted(run_all(store)) == sorted(jobs_of(made))
        assert read(flows, made).state is State.DONE
    assert cuts > 2


def test_a_part_of_a_workflow_is_let_go_after_an_hour(url: str, store: RedisBroker, flows: RedisWorkflows) -> None:
    before = names(url) | {b"pos"}
    made = wide()
    assert cut_after(url, 1, lambda flows: flows.start(made, now=NOW))
    assert state(store, made.stages[0].jobs[0].id) is State.WAITING
    with pytest.raises(MissingFeature, match="under way"):
        store.transfer().ship(new_id(), "elsewhere", None, 10, now=NOW)
    assert store.transfer().left(None, now=NOW).movable == 0
    store.prune(now=NOW + EVERY_WORKFLOW + 1)
    assert names(url) <= before
    with closing(Cut(url, -1)) as link, pytest.raises(StoreError, match="start it again"):
        RedisWorkflows(_Skips(link)).start(made)


class _Skips(Link):
    """A connection whose first part of a workflow was let go before the others came."""

    def __init__(self, link: Link) -> None:
        super().__init__(link.url)
        self._link = link

    def run(self, name: str, *arguments: Argument) -> Any:
        if name == "flow_store" and arguments[2] == 0:
            return 1
        return self._link.run(name, *arguments) if arguments[2] != 1 else 0


def test_results_of_very_many_are_put_together_by_several_scripts(
    url: str, store: RedisBroker, flows: RedisWorkflows
) -> None:
    group = stage(6_000)
    callback = stage(after=[group], shape=[1])
    made = started(flows, group, callback)
    leases = claim(store, 6_000)
    done(store, *leases, value=7)
    assert ask_left(url) == 1
    assert at(flows, made, callback).state is StageState.WAITING
    store.promote(now=NOW)
    assert given(claim_one(store)) == [[7] * 6_000]


def test_results_of_very_many_stages_are_put_together_by_several_scripts(
    url: str, store: RedisBroker, flows: RedisWorkflows
) -> None:
    steps = [stage(1 + number % 2) for number in range(MANY)]
    callback = stage(after=steps, shape=[MANY])
    started(flows, *steps, callback)
    leases = claim(store, 3 * MANY)
    done(store, *leases, value=7)
    assert ask_left(url) > 0
    store.promote(now=NOW)
    assert given(claim_one(store)) == [[7] * len(leases)]


def test_a_large_stage_is_cancelled_and_resumed_whoever_dies_meanwhile(
    url: str, store: RedisBroker, flows: RedisWorkflows
) -> None:
    first = stage()
    group = stage(MANY, after=[first])
    last = stage(after=[group], shape=[1])
    made = started(flows, first, group, last)
    cuts = 0
    while True:
        (lease,) = claim(store)
        broken(store, lease)
        store.promote(now=NOW)
        assert read(flows, made).counts == (MANY + 2, 0, MANY + 2)
        if not cut_after(url, cuts, lambda flows: flows.resume(made.id, now=NOW)):
            break
        cuts += 1
        store.promote(now=NOW)
        flows.resume(made.id, now=NOW)
        assert read(flows, made).counts == (MANY + 2, 0, 0)
    assert cuts > 2
    assert sorted(run_all(store)) == sorted(jobs_of(made))
    assert read(flows, made).state is State.DONE


def test_a_workflow_is_cancelled_whoever_dies_meanwhile(url: str, store: RedisBroker, flows: RedisWorkflows) -> None:
    cuts = 0
    while True:
        first = stage()
        group = stage(MANY, after=[first])
        made = started(flows, first, group, stage(after=[group], rule=Rule.FAILED), stage(after=[group]))
        is_over = not cut_after(url, cuts, lambda flows, made=made: flows.cancel(made.id, now=NOW))
        store.promote(now=NOW)
        if is_over:
            break
        cuts += 1
        flows.cancel(made.id, now=NOW)
        assert claim(store) == []
        assert read(flows, made).counts == (MANY + 3, 0, MANY + 3)
    assert cuts > 2


def test_nothing_is_left_of_workflows_that_are_forgotten(url: str, store: RedisBroker, flows: RedisWorkflows) -> None:
    group, failing = stage(3), stage()
    late = stage(after=[failing], rule=Rule.FAILED)
    made = started(flows, group, failing, stage(after=[group], shape=[1]), late)
    assert len(run_all(store)) == 5
    assert at(flows, made, late).state is StageState.SKIPPED
    for day in range(1, 5):
        store.prune(now=NOW + day * KEPT_DONE + 1)
    assert names(url) == {b"layout", b"claim", b"pos", b"rings", b"beats"}


def test_a_result_that_was_taken_is_kept_for_as_long_as_its_own(store: RedisBroker, flows: RedisWorkflows) -> None:
    first, short = stage(), stage()
    started(flows, first, short, stage(after=[first, short], shape=[0, 0]))
    one, two = claim(store)
    done(store, one, value=1, terms=Terms(passes=True, result_ttl=100 * KEPT_DONE))
    done(store, two, value=2, terms=Terms(passes=True, result_ttl=10.0))
    inspector = store.inspector()
    assert inspector.result(two.id, now=NOW + 9) == encode(2)
    assert inspector.result(two.id, now=NOW + 11) is None
    assert given(claim_one(store)) == [1, 2]
    store.prune(now=NOW + 90 * KEPT_DONE)
    assert inspector.result(one.id, now=NOW + 99 * KEPT_DONE) == encode(1)
    store.prune(now=NOW + 101 * KEPT_DONE)
    assert inspector.result(one.id, now=NOW) is None


def test_a_job_that_was_cancelled_as_it_waited_gets_its_results_when_it_is_retried(
    store: RedisBroker, flows: RedisWorkflows
) -> None:
    first = stage()
    second = stage(2, after=[first], shape=[0])
    started(flows, first, second)
    assert store.inspector().cancel(Selection(ids=(second.jobs[0].id,))) == 1
    done(store, claim_one(store), value="it")
    assert given(claim_one(store)) == ["it"]
    assert store.inspector().retry(Selection(ids=(second.jobs[0].id,))) == 1
    assert given(claim_one(store)) == ["it"]


def test_a_server_that_forgot_its_scripts_loses_no_step(url: str, store: RedisBroker, flows: RedisWorkflows) -> None:
    first = stage()
    second = stage(after=[first], shape=[0])
    ask(url, "SCRIPT", "FLUSH")
    made = started(flows, first, second)
    for _ in range(2):
        lease = claim_one(store)
        ask(url, "SCRIPT", "FLUSH")
        done(store, lease)
    assert read(flows, made).state is State.DONE


def test_workflows_run_in_a_cluster() -> None:
    with ExitStack() as stack:
        broker = stack.enter_context(closing(RedisBroker(Cluster(stack).url)))
        broker.open()
        made = wide()
        broker.workflows().start(made, now=NOW)
        assert sorted(run_all(broker)) == sorted(jobs_of(made))
        assert read(broker.workflows(), made).state is State.DONE


def test_what_joins_a_stage_and_fails_stops_what_waits(store: RedisBroker, flows: RedisWorkflows) -> None:
    first = stage()
    made = started(flows, first, stage(after=[first], shape=[1]))
    lease = claim_one(store)
    outcome = succeeded(lease, Terms(passes=True), encode("parent"))
    grown = msgspec.structs.replace(
        outcome, follow_ups=(job(batch=first.id),), steps=(*outcome.steps, Step(first.id, total=1))
    )
    assert hand_in(store, grown) == []
    broken(store, claim_one(store))
    assert read(flows, made).state is State.DEAD
