"""The plans of a MongoDB queue's own commands: each goes by an index, and reads about as much as it returns."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from bson import SON
from pymongo import monitoring

from penstock.brokers import connect
from penstock.brokers.inspect import Selection
from penstock.brokers.mongodb.broker import MongoBroker
from penstock.core.decide import dead, succeeded
from penstock.core.ids import uuid7s
from penstock.core.job import Failure, NewJob
from penstock.core.limiter import Limit
from penstock.core.outcome import Ending, Outcome
from penstock.core.states import State
from penstock.testing.contract.harness import ALICE, BOB, NOW, QUEUE, beat, claim, hand_in, ids, job, jobs
from penstock.testing.contract.workflows import PASSES, stage, workflow

SIZES = (100, 2_000, 20_000)


class Recorder(monitoring.CommandListener):
    """Keeps the commands that this process sends."""

    commands: list[dict[str, Any]] | None = None

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if self.commands is not None and event.command_name in {
            "find",
            "update",
            "delete",
            "aggregate",
            "distinct",
            "count",
        }:
            self.commands.append(dict(event.command))

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Of no interest."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Of no interest."""


RECORDER = Recorder()
monitoring.register(RECORDER)


@contextmanager
def recorded() -> Iterator[list[dict[str, Any]]]:
    RECORDER.commands = []
    try:
        yield RECORDER.commands
    finally:
        RECORDER.commands = None


@pytest.fixture(scope="module", params=SIZES)
def store(request: pytest.FixtureRequest) -> Iterator[MongoBroker]:
    """A queue with so many ready, delayed, dead and parked jobs, each, and as many in another queue."""
    server = request.getfixturevalue("mongo_server")
    broker = connect(f"{server.url()}&namespace=plans{request.param}")
    assert isinstance(broker, MongoBroker)
    broker.open()
    size = request.param
    for start in range(0, size, 2000):
        some = min(2000, size - start)
        made = iter(uuid7s(5 * some, 1 + start, b"0123456789"))
        broker.enqueue([NewJob(next(made), "t", b"x" * 50, priority=n % 10) for n in range(some)], now=NOW)
        broker.enqueue([NewJob(next(made), "t", b"x", run_at=NOW + 1e6 + n) for n in range(some)], now=NOW)
        broker.enqueue([NewJob(next(made), "t", b"x", dead=True) for _ in range(some)], now=NOW)
        broker.enqueue([NewJob(next(made), "unknown", b"x", queue="park") for _ in range(some)], now=NOW)
        broker.enqueue(
            [NewJob(next(made), "t", b"x", queue="other", unique=f"{start + n}") for n in range(some)], now=NOW
        )
    while leases := claim(broker, 2000, queues=["park"], holder=BOB):
        hand_in(broker, *[Outcome(lease, Ending.PARKED) for lease in leases], holder=BOB)
    yield broker
    broker.close()


def explained(broker: MongoBroker, command: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The execution statistics of each statement of a command; nothing is changed by it."""
    name = next(iter(command))
    left_out = {
        "$db",
        "lsid",
        "$clusterTime",
        "txnNumber",
        "writeConcern",
        "$readPreference",
        "ordered",
        "startTransaction",
        "autocommit",
        "maxTimeMS",
    }
    plain = {key: value for key, value in command.items() if key not in left_out}
    parts = "updates" if name == "update" else "deletes"
    statements = [{**plain, parts: [one]} for one in plain[parts]] if parts in plain else [plain]
    for statement in statements:
        if name == "aggregate":
            statement["cursor"] = {}
        told = broker._opened.layout.database.command(
            SON([("explain", SON(statement)), ("verbosity", "executionStats")])
        )
        stages = told.get("stages")
        yield name, (stages[0]["$cursor"] if stages else told)


def stages_of(plan: Any) -> Iterator[str]:
    if isinstance(plan, dict):
        if isinstance(plan.get("stage"), str):
            yield plan["stage"]
        for value in plan.values():
            yield from stages_of(value)
    elif isinstance(plan, list):
        for value in plan:
            yield from stages_of(value)


def check(broker: MongoBroker, work: Callable[[], object], most: int, nouns: Sequence[str] = ("jobs",)) -> None:
    """The commands of some work in these collections examine at most so many keys and documents, each."""
    broker._opened.clock.now()
    with recorded() as commands:
        work()
    assert commands
    # Others have a document or two, and are asked by id alone.
    names = [getattr(broker._opened.layout, noun).name for noun in nouns]
    chosen = [one for one in commands if next(iter(one.values())) in names]
    for command in chosen:
        for name, told in explained(broker, command):
            stages = set(stages_of(told["queryPlanner"]["winningPlan"]))
            assert "COLLSCAN" not in stages, (name, command)
            statistics = told["executionStats"]
            assert statistics["totalKeysExamined"] <= most, (name, command)
            assert statistics["totalDocsExamined"] <= most, (name, command)


def test_a_claim_reads_the_head_and_nothing_behind_it(store: MongoBroker) -> None:
    def work() -> None:
        leases = claim(store, 50)
        assert len(leases) == 50
        assert store.requeue(leases, ALICE) == []

    check(store, work, 2 * 50 + 5)


def test_the_head_comes_in_order_from_the_index(store: MongoBroker) -> None:
    with recorded() as commands:
        assert len(store._opened.claims._ready(QUEUE, 50, 0)) == 50
    ((_, told),) = explained(store, commands[0])
    assert "SORT" not in list(stages_of(told["queryPlanner"]["winningPlan"]))
    assert told["executionStats"]["totalDocsExamined"] == 50
    assert told["executionStats"]["totalKeysExamined"] <= 51


def test_endings_and_enqueueing(store: MongoBroker) -> None:
    def work() -> None:
        store.enqueue(jobs(20, queue="mine"), now=NOW)
        leases = claim(store, 20, queues=["mine"])
        ended = [Outcome(leases[0], Ending.RETRY, delay=5), Outcome(leases[1], result=b"r", result_ttl=5)]
        ended += [Outcome(leases[2], follow_ups=(job(queue="mine"),))]
        assert hand_in(store, *ended, *[Outcome(lease) for lease in leases[3:]]) == []
        assert store.enqueue([job(unique="0")], now=NOW)
        store.inspector().delete(Selection(ids=(leases[0].id,)))

    check(store, work, 2 * 20 + 5)
    store.purge("mine")


def test_upkeep_looks_at_what_is_due_and_at_nobody_else(store: MongoBroker) -> None:
    def work() -> None:
        store.promote(now=NOW)
        store.unpark(["t"])
        beat(store, ALICE.worker)
        assert store.rescue(dead_after=10, now=NOW) == 0
        store.abandon(ALICE)
        store.depart(ALICE.worker)
        store.prune(now=NOW)

    check(store, work, 10)


def test_whether_a_batch_has_jobs_left_takes_one_look_however_many(store: MongoBroker) -> None:
    batches = [bytes([n]) * 16 for n in range(3)]
    for batch in batches:
        store.enqueue(jobs(200, batch=batch, dead=True), now=NOW)
    check(store, lambda: store.prune(now=NOW), 10)
    for batch in batches:
        store.inspector().delete(Selection(batch=batch))


def test_limits_and_what_a_worker_looks_after(store: MongoBroker) -> None:
    def work() -> None:
        store.declare({"t": Limit("100/s", concurrency=10, burst=10)})
        store.enqueue([*jobs(15, gate="t", queue="mine"), *jobs(5, queue="mine")], now=NOW)
        leases = claim(store, 8, queues=["mine"]) + claim(store, 8, queues=["mine"])
        assert {lease.gate for lease in leases} == {None, "t"}
        assert store.inspector().cancel(Selection(ids=(leases[0].id,))) == 1
        assert store.cancelled(ALICE.worker) == [(ALICE.process, leases[0].id)]
        assert len(store.held(ALICE)) == len(leases)
        assert store.backlog(["mine"], now=NOW + 10).ready > 0
        assert hand_in(store, *[Outcome(lease) for lease in leases]) == []
        store.promote(now=NOW)

    check(store, work, 2 * 20 + 5)
    store.declare({"t": None})
    store.purge("mine")


def test_workflows_look_at_their_own_stages(store: MongoBroker, request: pytest.FixtureRequest) -> None:
    flows = store.workflows()
    chain = [stage(queue="far")]
    for _ in range(min(200, request.node.callspec.params["store"])):
        chain.append(stage(after=chain[-1:], queue="far"))
    others = workflow(*chain)
    flows.start(others, now=NOW)
    group = stage(20, queue="mine")
    callback = stage(2, after=[group], shape=[1], queue="mine")
    last = stage(20, after=[callback], queue="mine")
    made = workflow(group, callback, last)

    def work() -> None:
        flows.start(made, now=NOW)
        leases = claim(store, queues=["mine"])
        hand_in(store, *(succeeded(lease, PASSES, b"\x01") for lease in leases))
        leases = claim(store, queues=["mine"])
        hand_in(store, dead(leases[0], Failure("ValueError", "no")), succeeded(leases[1], PASSES))
        assert flows.resume(made.id, now=NOW) == 21
        assert len(store.inspector().list(Selection(batch=last.id))) == 20
        assert store.inspector().standing(last.jobs[0].id) is not None
        assert flows.get(last.id) is not None
        assert flows.cancel(made.id, now=NOW) == 21
        assert store.transfer().left(["mine"]) is not None

    check(store, work, 2 * 20 + 5, ["stages", "results"])
    flows.resume(made.id, now=NOW)
    flows.cancel(made.id, now=NOW)
    check(store, lambda: flows.resume(made.id, now=NOW), 2 * 40 + 10)
    check(store, lambda: hand_in(store, *map(Outcome, claim(store, queues=["mine"]))), 2 * 40 + 10)
    assert flows.cancel(others.id, now=NOW) == len(chain)
    store.inspector().delete(Selection(queue="far"))
    store.inspector().delete(Selection(queue="mine"))


def test_a_look_at_one_job_or_one_batch(store: MongoBroker) -> None:
    batch = b"b" * 16
    store.enqueue(jobs(3, batch=batch, queue="mine"), now=NOW)

    def work() -> None:
        (first, *_) = store.inspector().list(Selection(batch=batch))
        store.inspector().get(first.id)
        store.inspector().list(Selection(ids=(first.id,)))
        store.inspector().list(Selection(), limit=10)
        store.inspector().list(Selection(state=State.DEAD), limit=10)
        store.inspector().workers()

    check(store, work, 15)
    store.inspector().delete(Selection(batch=batch))


def test_counting_goes_by_indexes_of_one_state_each(store: MongoBroker, request: pytest.FixtureRequest) -> None:
    size = request.node.callspec.params["store"]
    check(store, store.inspector().count, 2 * size + 100)
    check(store, lambda: store.depth(QUEUE), size + 100)


def test_the_fixture_is_as_large_as_it_says(store: MongoBroker, request: pytest.FixtureRequest) -> None:
    size = request.node.callspec.params["store"]
    counts = {one.queue: one for one in store.inspector().count()}
    assert (counts[QUEUE].delayed, counts[QUEUE].dead, counts["park"].parked) == (size, size, size)
    assert counts["other"].ready == size
    assert len(ids(claim(store, 1, queues=["other"]))) == 1
