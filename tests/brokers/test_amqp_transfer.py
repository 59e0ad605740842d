"""Jobs that are moved away from RabbitMQ, and to it, while connections break and movers are killed."""

import itertools
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.brokers import connect
from penstock.brokers.amqp.broker import AmqpBroker
from penstock.brokers.amqp.keeper import RESULT
from penstock.brokers.amqp.leaving import LEAVING
from penstock.brokers.base import Broker
from penstock.brokers.inspect import Selection
from penstock.brokers.listener import Waking
from penstock.core.job import Failure, NewJob
from penstock.core.outcome import Ending, Outcome
from penstock.core.states import State
from penstock.core.topics import Subscription
from penstock.errors import ConfigError
from penstock.moving import Mover, Summary
from penstock.testing.contract.harness import ALICE, BOB, beat, ids, job, jobs
from penstock.testing.servers import RabbitServer

PATIENCE = 30.0
_numbers = itertools.count(1)


@pytest.fixture
def backend(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/backend.db?namespace=moved"


@pytest.fixture
def url(rabbit_server: RabbitServer, backend: str) -> str:
    return f"{rabbit_server.url()}?namespace=moved{next(_numbers)}&backend={backend}"


@pytest.fixture
def store(url: str, opened: Callable[[str], Broker]) -> Broker:
    return opened(url)


@pytest.fixture
def other(tmp_path: Path, opened: Callable[[str], Broker]) -> Broker:
    return opened(f"sqlite:///{tmp_path}/queue.db")


def claim(store: Broker, *queues: str) -> list[bytes]:
    return ids(store.exchange((), queues or ["default"], 1000, ALICE).leases)


def move(source: Broker, destination: Broker, queues: list[str] | None = None, at_once: int = 2000) -> Summary:
    return Mover(source, destination, "there", queues, at_once=at_once).run(lambda _: None)


def test_everything_leaves(store: Broker, other: Broker, url: str, opened: Callable[[str], Broker]) -> None:
    plain = [job(priority=number % 3, queue=f"q{number % 2}", payload=bytes([number])) for number in range(30)]
    keyed, late = job(unique="k"), [job(delay=600.0 + number) for number in range(3)]
    dead, failed, ended = job(queue="r"), job(queue="r"), job(queue="r")
    before = time.time()
    store.enqueue([*plain, keyed, *late, dead, failed, ended])
    leases = {lease.id: lease for lease in store.exchange((), ["r"], 3, ALICE).leases}
    failure = Failure("E", "m")
    store.exchange(
        [
            Outcome(leases[dead.id], Ending.DEAD, failure=failure),
            Outcome(leases[failed.id], Ending.RETRY, delay=900.0, failure=failure),
            Outcome(leases[ended.id], result=b"7", result_ttl=600.0),
        ],
        (), 0, ALICE,
    )  # fmt: skip
    # By a connection that has never heard of these queues.
    summary = move(opened(url), other, at_once=7)
    assert (summary.complete, summary.moved, summary.known) == (True, 36, 0)
    expected = {
        queue: sorted((one for one in plain if one.queue == queue), key=lambda one: -one.priority)
        for queue in ("q0", "q1")
    }
    for queue, those in expected.items():
        assert claim(other, queue) == ids(those)
    assert claim(other) == [keyed.id]
    inspector = other.inspector()
    for number, one in enumerate(late):
        record = inspector.get(one.id)
        assert record is not None
        assert record.state is State.DELAYED
        assert record.run_at == pytest.approx(before + 600 + number, abs=5)
    (record,) = inspector.list(Selection(state=State.DEAD))
    assert (record.id, record.failure) == (dead.id, failure)
    again = inspector.get(failed.id)
    assert again is not None
    assert (again.state, again.attempt) == (State.DELAYED, 1)
    assert inspector.result(ended.id) == b"7"
    assert store.inspector().list(Selection()) == []


def broken_off(mover: Broker, queues: list[str] | None = None) -> None:
    """Let messages leave as far as the backend, and then die."""
    assert isinstance(mover, AmqpBroker)
    with mover._link.held():
        _, side, _ = mover._wires()
        mover._layout.moving(side)
        mover._leaving.waiting(None)
        drawing, leaving = mover._drawing, mover._leaving
        taken = drawing.taken(leaving._shares(queues, 100))
        leaving._hand_over(taken.__enter__().messages)
    mover.close()


def take_when_there(store: Broker, count: int) -> list[bytes]:
    """Take what there is as soon as there is as much; the bell tells."""
    rung = threading.Event()
    taken: list[bytes] = []
    with store.listen(Waking(rung.set)):
        deadline = time.monotonic() + PATIENCE
        while len(taken := [*taken, *claim(store)]) < count:
            assert time.monotonic() < deadline
            rung.wait(0.2)
            rung.clear()
    return taken


def test_what_a_killed_mover_has_stored_runs_once(
    store: Broker, url: str, opened: Callable[[str], Broker], backend: str
) -> None:
    sent = jobs(3)
    store.enqueue(sent)
    broken_off(opened(url))
    behind = opened(backend)
    assert [one.queue for one in behind.inspector().count()] == [LEAVING + "default"]
    assert sorted(take_when_there(store, 3)) == sorted(ids(sent))
    assert behind.inspector().list(Selection()) == []


def test_what_has_left_does_not_run_here(
    store: Broker, other: Broker, url: str, opened: Callable[[str], Broker]
) -> None:
    store.enqueue(sent := jobs(3))
    broken_off(opened(url))
    left = store.transfer().ship(other.transfer().name(), "there", None, 100)
    assert left is not None
    assert (ids(left[1].jobs), {one.queue for one in left[1].jobs}) == (ids(sent), {"default"})
    store.enqueue([last := job()])
    assert take_when_there(store, 1) == [last.id]
    assert store.depth("default") == 0
    assert move(store, other).moved == 3


def test_the_next_mover_goes_on(store: Broker, other: Broker, url: str, opened: Callable[[str], Broker]) -> None:
    store.enqueue(sent := jobs(5))
    broken_off(opened(url))
    assert move(opened(url), other, at_once=2).moved == 5
    assert claim(other) == ids(sent)
    assert claim(store) == []


def test_a_delayed_message_that_a_killed_mover_had_runs_once(
    store: Broker, other: Broker, url: str, opened: Callable[[str], Broker]
) -> None:
    stays, goes = job(delay=0.6), job(delay=0.6)
    store.enqueue([stays, goes])
    mover = opened(url)
    assert isinstance(mover, AmqpBroker)
    with mover._link.held():
        mover._layout.moving(mover._wires()[1])
        levels = mover._layout.all_levels(mover._wires()[1])
        shares = mover._drawing.waiting(levels, 100)
        mover._leaving._hand_over(mover._drawing.taken(shares).__enter__().messages)
    mover.close()
    ship = store.transfer().ship(other.transfer().name(), "there", None, 1)
    assert ship is not None
    rest = {stays.id, goes.id} - {ship[1].jobs[0].id}
    assert take_when_there(store, 1) == list(rest)
    store.enqueue([last := job()])
    assert take_when_there(store, 1) == [last.id]


def test_it_moves_the_queues_that_are_named(store: Broker, other: Broker) -> None:
    mine, others = [job(queue="a"), job(queue="a", delay=600.0)], [job(queue="b"), *jobs(5, queue="b", delay=600.0)]
    store.enqueue([*others, *mine])
    assert move(store, other, ["a"], at_once=2).moved == 2
    assert claim(store, "b") == [others[0].id]
    assert sorted(ids(other.inspector().list(Selection()))) == sorted(ids(mine))
    assert move(store, other).moved == 5


def test_its_own_backend_is_another_place(
    store: Broker, url: str, backend: str, opened: Callable[[str], Broker]
) -> None:
    behind = opened(backend)
    plain, keyed, late = jobs(5), job(unique="k"), job(delay=600.0)
    store.enqueue([*plain, keyed, late])
    # Crashes are counted in the backend, and stay there.
    store.abandon(BOB, [plain[0].id])
    assert move(store, behind, ["none"]).moved == 0
    assert move(store, behind, at_once=2).moved == 6
    assert sorted(claim(behind)) == sorted(ids([*plain, keyed]))
    assert {one.queue for one in behind.inspector().count()} == {"default"}
    with pytest.raises(ConfigError, match="its jobs are there already"):
        move(behind, store)


def test_jobs_arrive_once(store: Broker, other: Broker) -> None:
    sent, late = jobs(5), job(delay=600.0)
    other.enqueue([*sent, late])
    left = other.transfer().ship(store.transfer().name(), "there", None, 100)
    assert left is not None
    assert store.transfer().receive(left[1]) is not None
    assert sorted(claim(store)) == sorted(ids(sent))
    assert store.transfer().receive(left[1]) is None
    assert store.inspector().get(late.id) is not None


def test_what_comes_back_is_not_taken_for_gone(store: Broker, other: Broker) -> None:
    sent: list[NewJob] = jobs(3)
    store.enqueue(sent)
    move(store, other)
    move(other, store)
    assert sorted(claim(store)) == sorted(ids(sent))


def test_it_waits_for_what_a_worker_runs(
    store: Broker, other: Broker, url: str, opened: Callable[[str], Broker]
) -> None:
    worker = opened(url)
    worker.enqueue(sent := jobs(2))
    done, again = worker.exchange((), ["default"], 2, BOB).leases
    beat(worker, BOB.worker, None)
    ended = threading.Event()

    def show(_: object) -> None:
        if not ended.is_set():
            ended.set()
            worker.exchange([Outcome(done), Outcome(again, Ending.RETRY, delay=600.0)], (), 0, BOB)
            worker.depart(BOB.worker)

    assert Mover(store, other, "there").run(show).moved == 1
    assert ids(other.inspector().list(Selection())) == ids(sent[1:])


def test_subscriptions_go_too(store: Broker, other: Broker) -> None:
    mail = Subscription("mail", "app.mail", "orders.*", "mail")
    store.subscribe([mail])
    move(store, other)
    assert other.subscriptions() == [mail]


def test_a_queue_is_known_by_its_messages_alone(store: Broker, url: str) -> None:
    assert connect(url).schema().installed is None
    store.enqueue([job(queue="a"), job(queue="b", priority=9), job(queue="b")])
    assert connect(url).schema().installed == 0


def test_all_queues_are_counted(store: Broker, url: str, opened: Callable[[str], Broker]) -> None:
    store.enqueue([job(queue="a"), job(queue="b", priority=9), job(queue="b", priority=0)])
    counted = opened(url).inspector().count()
    assert {one.queue: one.ready for one in counted} == {"a": 1, "b": 2}


def test_many_count_the_queues_at_once(store: Broker, url: str, opened: Callable[[str], Broker]) -> None:
    store.enqueue([job(queue=f"q{number}") for number in range(10)])
    others = [opened(url) for _ in range(4)]
    counted: list[int] = []

    def count(broker: Broker) -> None:
        counted.extend(len(broker.inspector().count()) for _ in range(5))

    threads = [threading.Thread(target=count, args=(broker,)) for broker in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counted == [10] * 20


def test_the_doctor_tells_of_messages_that_a_killed_mover_left(
    store: Broker, url: str, opened: Callable[[str], Broker]
) -> None:
    store.enqueue(jobs(3))
    store.inspector()
    for found in ("no messages are on their way", "3 messages are on their way"):
        (check,) = (check for check in store.diagnose() if check.name == "leaving")
        assert check.found.startswith(found)
        if found.startswith("no"):
            broken_off(opened(url))


def test_a_result_that_is_being_written_is_no_job_that_leaves(
    store: Broker, other: Broker, backend: str, opened: Callable[[str], Broker]
) -> None:
    (sent,) = jobs(1)
    store.enqueue([sent])
    (lease,) = store.exchange((), ["default"], 1, ALICE).leases
    behind = opened(backend)
    # As a worker does in the midst of an ending.
    behind.enqueue([NewJob(sent.id, RESULT, b"", "penstock.results:1")])
    assert store.transfer().ship(other.transfer().name(), "there", None, 10) is None
    assert behind.inspector().moved_to(sent.id) is None
    assert store.exchange([Outcome(lease, result=b"7", result_ttl=60.0)], (), 0, ALICE).stale == []
    assert move(store, other).complete
    assert other.inspector().result(sent.id) == b"7"
    assert other.inspector().list(Selection()) == []


@pytest.mark.parametrize("how", ["it is moved", "it becomes a dead letter"])
def test_a_result_that_was_never_written_does_not_stand_for_its_job(
    store: Broker, other: Broker, url: str, backend: str, opened: Callable[[str], Broker], how: str
) -> None:
    (sent,) = jobs(1)
    killed = opened(url)
    killed.enqueue([sent])
    assert claim(killed) == [sent.id]
    opened(backend).enqueue([NewJob(sent.id, RESULT, b"", "penstock.results:1")])
    killed.close()
    if how == "it is moved":
        assert move(store, other).moved == 1
        assert claim(other) == [sent.id]
        return
    (lease,) = store.exchange((), ["default"], 1, ALICE).leases
    assert store.exchange([Outcome(lease, Ending.DEAD, failure=Failure("E", "m"))], (), 0, ALICE).stale == []
    (record,) = store.inspector().list(Selection())
    assert (record.id, record.state) == (sent.id, State.DEAD)
