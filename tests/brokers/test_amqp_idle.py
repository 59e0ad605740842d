"""Processes that take from one queue in RabbitMQ: what one has, the others need not wait for."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from penstock import Penstock
from penstock.brokers.amqp import taking
from penstock.brokers.amqp.broker import AmqpBroker
from penstock.brokers.amqp.drawing import Drawing
from penstock.brokers.amqp.names import Lane
from penstock.brokers.base import Exchange
from penstock.brokers.listener import Waking
from penstock.core.job import Holder, Lease, NewJob
from penstock.core.outcome import Ending, Outcome
from penstock.errors import StoreUnavailable
from penstock.testing.contract.harness import ALICE, BOB, ids, job, jobs
from penstock.testing.servers import RabbitServer, RedisServer

QUEUE = "default"
PATIENCE = 30.0
APP = """
import os
from penstock import Penstock

app = Penstock(os.environ["IDLE_URL"])

@app.task(name="say")
def say(number: int) -> None:
    os.write(1, b"%d\\n" % number)
"""


@pytest.fixture
def url(rabbit_server: RabbitServer, tmp_path: Path) -> str:
    return f"{rabbit_server.url()}?namespace=idle{time.monotonic_ns()}&backend=sqlite:///{tmp_path}/backend.db"


@pytest.fixture
def store(url: str) -> Iterator[AmqpBroker]:
    with closing(AmqpBroker(url)) as broker:
        broker.open()
        yield broker


def claim(store: AmqpBroker, holder: Holder) -> list[Lease]:
    return store.exchange((), [QUEUE], 100, holder).leases


def test_what_comes_while_others_are_taken_is_taken_by_whoever_is_idle(store: AmqpBroker, url: str) -> None:
    """One by one, as fast as they are confirmed: some come after the rest was counted, and some between two counts."""
    sent = jobs(300)

    def send() -> None:
        with closing(AmqpBroker(url)) as producer:
            producer.open()
            for each in sent:
                producer.enqueue([each])

    thread = threading.Thread(target=send)
    thread.start()
    with closing(AmqpBroker(url)) as busy:
        busy.open()
        seen: list[bytes] = []
        deadline = time.monotonic() + PATIENCE
        outcomes: dict[AmqpBroker, list[Outcome]] = {store: [], busy: []}
        while len(seen) < len(sent):
            assert time.monotonic() < deadline, f"{len(seen)} of {len(sent)}"
            for each, holder in ((store, ALICE), (busy, BOB)):
                leases = each.exchange(outcomes[each], [QUEUE], 8, holder).leases
                outcomes[each] = [Outcome(lease) for lease in leases]
                seen += ids(leases)
        assert sorted(seen) == sorted(ids(sent))
    thread.join()


def test_what_is_given_back_is_looked_for_before_the_server_counts_it(store: AmqpBroker) -> None:
    store.enqueue(jobs(1))
    lane, deliveries = Lane(QUEUE, 5), store._wires()[2]
    for _ in range(3):
        (lease,) = claim(store, ALICE)
        assert deliveries.returned == {}
        store.exchange([Outcome(lease, Ending.RELEASED)], (), 0, ALICE)
        assert deliveries.returned == {lane: 1}
    (lease,) = claim(store, ALICE)
    with store._link.held():
        assert store._drawing.ready([lane]) == {lane: 0}


def test_what_was_asked_for_and_did_not_come_goes_to_others(store: AmqpBroker, url: str) -> None:
    """Asked for three of which two are gone: the third that comes later is not this one's, which may run a job for an hour by then."""
    with closing(AmqpBroker(url)) as other:
        other.open()
        store.enqueue(jobs(1))
        _, _, deliveries = store._wires()
        with store._link.held():
            lane = Lane(QUEUE, 5)
            assert len(deliveries.take({lane: 3}, ALICE, lambda lanes: [0] * len(lanes))) == 1
            assert deliveries.standing == {}
        other.enqueue(late := jobs(2))
        assert ids(claim(other, BOB)) == ids(late)


def test_who_stands_by_is_sent_one_job_of_each_lane_and_told(store: AmqpBroker, url: str) -> None:
    store.enqueue([job(priority=9)])
    assert len(claim(store, ALICE)) == 1
    rung = threading.Event()
    with closing(AmqpBroker(url)) as other:
        other.open()
        assert store.standby([QUEUE], rung.set)
        other.enqueue(sent := jobs(3))
        assert rung.wait(PATIENCE)
        rung.clear()
        (lease,) = claim(store, ALICE)
        assert rung.is_set(), "there may be more"
        rest = [each for each in sent if each.id != lease.id]
        assert sorted(ids(claim(other, BOB))) == sorted(ids(rest))
        assert store.exchange([Outcome(lease)], [QUEUE], 100, ALICE) == Exchange([], [])
        rung.clear()
        assert store.standby([QUEUE], rung.set)
        other.enqueue(more := [job(), job(priority=9)])
        assert rung.wait(PATIENCE)
        # Of two lanes, both may have come: what is more than asked for goes back.
        taken = store.exchange((), [QUEUE], 1, ALICE).leases
        assert len(taken) == 1
        deadline = time.monotonic() + PATIENCE
        while len(taken) < 2:
            assert time.monotonic() < deadline
            taken += claim(other, BOB)
        assert sorted(ids(taken)) == sorted(ids(more))


@pytest.mark.parametrize("limit", [0, 100], ids=["has no room", "has jobs of the backend"])
def test_who_no_longer_stands_by_holds_nothing(store: AmqpBroker, url: str, limit: int) -> None:
    rung = threading.Event()
    with closing(AmqpBroker(url)) as other:
        other.open()
        claim(other, BOB)
        claim(store, ALICE)
        assert store.standby([QUEUE], rung.set)
        if limit:
            other.enqueue([job(unique="k")])
        assert len(store.exchange((), [QUEUE], limit, ALICE).leases) == bool(limit)
        other.enqueue([sent := job()])
        assert ids(claim(other, BOB)) == [sent.id]
        assert not rung.is_set()


def test_who_stands_by_has_heard_that_it_does(store: AmqpBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ended before the server has said so, a consumer takes the server's channel with it, and that the connection, a few times in a thousand."""
    store.enqueue([job(priority=9)])
    assert len(claim(store, ALICE)) == 1
    monkeypatch.setattr(store._link, "watch", lambda *_: None)  # nobody else reads
    assert store.standby([QUEUE], lambda: None)
    consumers = store._wires()[2]._consumers
    assert len(consumers) == 2
    assert all(consumer.answers for consumer in consumers.values())


def test_who_stands_by_asks_nothing_when_its_job_has_ended(
    store: AmqpBroker, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking, "_TRUST", PATIENCE)
    monkeypatch.setattr(taking, "_RIGHT_AWAY", 0.0)
    asked: list[object] = []
    ready = Drawing.ready
    monkeypatch.setattr(Drawing, "ready", lambda self, lanes: asked.append(lanes) or ready(self, lanes))
    woken = threading.Event()
    outcomes: list[Outcome] = []
    with closing(AmqpBroker(url)) as other:
        other.open()
        for _ in range(3):
            assert store.exchange(outcomes, [QUEUE], 100, ALICE) == Exchange([], [])
            woken.clear()
            store.standby([QUEUE], woken.set)
            other.enqueue(jobs(1))
            assert woken.wait(PATIENCE)
            (lease,) = claim(store, ALICE)
            outcomes = [Outcome(lease)]
    assert len(asked) == 2  # before it stood by


def test_what_waits_behind_the_first_does_not_come_one_by_one(store: AmqpBroker) -> None:
    woken, sizes = threading.Event(), list[int]()
    claim(store, ALICE)
    store.standby([QUEUE], woken.set)
    sent = jobs(500)
    store.enqueue(sent)
    outcomes: list[Outcome] = []
    while sum(sizes) < len(sent):
        leases = store.exchange(outcomes, [QUEUE], 100, ALICE).leases
        outcomes = [Outcome(lease) for lease in leases]
        sizes.append(len(leases))
        if not leases:
            woken.clear()
            store.standby([QUEUE], woken.set)
            assert woken.wait(PATIENCE)
    assert max(sizes) > 10


def test_what_was_taken_goes_back_where_the_backend_then_fails(
    rabbit_server: RabbitServer,
) -> None:
    with RedisServer() as backend:
        url = f"{rabbit_server.url()}?namespace=idle{time.monotonic_ns()}&backend={backend.url()}"
        with closing(AmqpBroker(url)) as store, closing(AmqpBroker(url)) as other:
            store.open()
            other.open()
            # The backend was asked first this time, so it is asked last the next.
            assert claim(store, ALICE) == []
            other.enqueue(sent := jobs(3))
            backend.kill()
            with pytest.raises(StoreUnavailable):
                claim(store, ALICE)
            backend.start()
            assert ids(claim(other, BOB)) == ids(sent)


def test_who_listens_sleeps_until_it_is_told_to_stop(url: str) -> None:
    with closing(AmqpBroker(url)) as store:
        store.open()
        with store.listen(Waking(lambda: None)):
            # That of the backend is another of this name.
            listeners = [thread for thread in threading.enumerate() if thread.name == "penstock-listen"]
        # The client's own sleep is five seconds.
        for listener in listeners:
            listener.join(4.0)
        assert not any(listener.is_alive() for listener in listeners)


def test_an_idle_worker_starts_each_of_many_single_jobs(url: str, tmp_path: Path) -> None:
    (tmp_path / "idle_app.py").write_text(APP)
    environment = {**os.environ, "IDLE_URL": url, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}

    def of(number: int) -> NewJob:
        return job(task="say", payload=msgspec.msgpack.encode([number]))

    command = [sys.executable, "-m", "penstock", "worker", "idle_app:app", "-c", "2"]
    with (
        closing(AmqpBroker(url)) as producer,
        subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as worker,
    ):
        patience = threading.Timer(PATIENCE, worker.kill)
        try:
            producer.open()
            assert worker.stdout is not None
            patience.start()
            producer.enqueue([of(0)])
            assert next(worker.stdout, None) == "0\n"
            for number in range(1, 51):
                producer.enqueue([of(number)])
            assert sorted(int(next(worker.stdout, -1)) for _ in range(50)) == list(range(1, 51))
        finally:
            patience.cancel()
            worker.terminate()
            # Less than its grace: it stands by, and ends at once.
            worker.wait(20)


GATED = """
import os, time
from pathlib import Path
from penstock import Penstock

app = Penstock(os.environ["IDLE_URL"])

@app.task(name="hold")
def hold(gate: str) -> None:
    os.write(1, b"%d\\n" % os.getpid())
    while not Path(gate).exists():
        time.sleep(0.01)
"""


def test_a_worker_grows_with_what_waits(url: str, tmp_path: Path) -> None:
    (tmp_path / "gated.py").write_text(GATED)
    gate = tmp_path / "open"
    environment = {**os.environ, "IDLE_URL": url}
    command = [sys.executable, "-m", "penstock", "worker", "gated:app", "--autoscale", "3,1"]
    app = Penstock(url)
    task = app.task(name="hold")(_hold)
    task.delay_many([(str(gate),) for _ in range(3)])
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as worker:
        patience = threading.Timer(PATIENCE, worker.kill)
        try:
            assert worker.stdout is not None
            patience.start()
            # Each of the three runs in a process of its own, while the others are held.
            assert len({worker.stdout.readline() for _ in range(3)}) == 3
            gate.touch()
        finally:
            patience.cancel()
            worker.terminate()
    assert worker.returncode == 0
    app.close()


def _hold(gate: str) -> None:
    """Stands for the task of that name that the worker runs."""
    raise AssertionError(gate)
