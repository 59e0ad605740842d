"""What only a MongoDB queue can suffer, or do."""

import logging
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pymongo
import pytest

from penstock.brokers import connect
from penstock.brokers.base import WorkerInfo
from penstock.brokers.diagnosis import Grade, Schema
from penstock.brokers.inspect import Selection
from penstock.brokers.listener import Waking
from penstock.brokers.mongodb.broker import MongoBroker
from penstock.brokers.mongodb.layout import VERSION
from penstock.core.job import Dedup
from penstock.core.outcome import Ending, Outcome, Step
from penstock.core.prefetch import LARGEST
from penstock.core.states import State
from penstock.core.topics import Event, Subscription
from penstock.errors import ConfigError, SchemaTooNew, StoreError, StoreUnavailable
from penstock.stores.mongodb_clock import ServerClock
from penstock.testing.contract.harness import (
    ALICE,
    BOB,
    NOW,
    QUEUE,
    Told,
    beat,
    claim,
    claim_one,
    hand_in,
    ids,
    job,
    jobs,
    new_id,
    state,
)
from penstock.testing.servers import MongoServer
from penstock.testing.servers.process import free_port


def opened(url: str) -> MongoBroker:
    broker = connect(url)
    assert isinstance(broker, MongoBroker)
    broker.open()
    return broker


@pytest.fixture
def url(request: pytest.FixtureRequest, stores: dict[str, Any], tmp_path: Any) -> str:
    made: str = stores["mongodb"](request, tmp_path)()
    return made


@pytest.fixture
def lone_url(request: pytest.FixtureRequest, stores: dict[str, Any], tmp_path: Any) -> str:
    made: str = stores["mongodb alone"](request, tmp_path)()
    return made


@pytest.fixture
def store(url: str) -> Iterator[MongoBroker]:
    broker = opened(url)
    yield broker
    broker.close()


@pytest.fixture
def client(mongo_server: MongoServer) -> Iterator[pymongo.MongoClient[dict[str, Any]]]:
    """The user's own."""
    with pymongo.MongoClient(mongo_server.url(), uuidRepresentation="standard", w=1) as made:
        yield made


def test_how_it_wakes_workers_is_chosen_by_what_the_server_is(
    url: str, lone_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    for place, said in ((url, "a change stream"), (lone_url, "a tailable cursor")):
        caplog.clear()
        broker = opened(place)
        with caplog.at_level(logging.INFO, logger="penstock"), broker.listen(Waking(lambda: None)):
            assert said in caplog.text
        broker.close()


def test_no_server_is_said_in_one_line_without_the_password() -> None:
    broker = connect(f"mongodb://me:s3cret@127.0.0.1:{free_port()}/db?serverSelectionTimeoutMS=300")
    for call in (broker.open, broker.schema, lambda: list(broker.diagnose())):
        with pytest.raises(StoreUnavailable, match="no server answers") as caught:
            call()
        assert "s3cret" not in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("option", ["namespace=Ünfit", "namespace=", "namespace=1x", "durability=full"])
def test_an_option_that_is_none(option: str, mongo_server: MongoServer) -> None:
    with pytest.raises(ConfigError, match="namespace"):
        opened(f"{mongo_server.url()}&{option}")


def test_the_layout_is_told_and_a_newer_one_refused(url: str) -> None:
    broker = connect(url)
    assert isinstance(broker, MongoBroker)
    assert broker.schema() == Schema(None, VERSION)
    broker.open()
    assert broker.schema() == Schema(VERSION, VERSION)
    assert {check.name for check in broker.diagnose() if check.grade is Grade.FAIL} == set()
    broker._opened.layout.meta.update_one({"_id": "schema"}, {"$set": {"value": VERSION + 1}})
    broker.close()
    broker.open()
    broker._opened.layout.meta.update_one({"_id": "schema"}, {"$set": {"oldest": VERSION + 1}})
    broker.close()
    with pytest.raises(SchemaTooNew, match="upgrade"):
        broker.open()


def test_a_job_that_is_too_large_is_refused_and_takes_no_other_along(store: MongoBroker) -> None:
    with pytest.raises(StoreError, match=r"app\.task has 15,728,641 bytes"):
        store.enqueue([job(), job(payload=b"x" * ((15 << 20) + 1))])
    assert store.depth(QUEUE) == 0
    store.enqueue([job(payload=b"x" * (15 << 20), batch=new_id())])
    lease = claim_one(store)
    assert (
        hand_in(store, Outcome(lease, Ending.RELEASED, payload=b"y" * (15 << 20), steps=(Step(b"b" * 16, done=1),)))
        == []
    )
    assert claim_one(store).payload[:1] == b"y"


def test_a_plain_job_rings_as_one_that_is_ready(store: MongoBroker) -> None:
    told = Told()
    with store.listen(told):
        store.enqueue(jobs(2))
        assert told.next() == "ready"
        # The one that rings for all of them is one that the upkeep must see to.
        store.enqueue([*jobs(1), job(delay=60)])
        assert told.next() == "wake"


def test_while_nobody_is_idle_it_does_not_listen_and_then_tells_that_there_may_be_work(
    store: MongoBroker, url: str, client: pymongo.MongoClient[dict[str, Any]]
) -> None:
    idle, asked, woken = threading.Event(), threading.Event(), threading.Event()
    idle.set()

    class Processes(Waking):
        def idle(self, seconds: float) -> bool:
            asked.set()
            return idle.wait(min(seconds, 0.05))

    def streams() -> list[dict[str, Any]]:
        found = client.admin.aggregate([{"$currentOp": {"idleCursors": True}}])
        name = store._opened.layout.jobs.name
        return [one for one in found if "$changeStream" in str(one) and f"'{name}'" in str(one)]

    with store.listen(Processes(woken.set)):
        assert asked.wait(20)
        assert len(streams()) == 1
        idle.clear()
        gate, deadline = threading.Event(), time.monotonic() + 20
        while streams():
            assert time.monotonic() < deadline
            gate.wait(0.05)
        store.enqueue(jobs(1))
        assert not woken.wait(0.2)
        idle.set()
        assert woken.wait(20)
        woken.clear()
        store.enqueue(jobs(1))
        assert woken.wait(20)


# A transaction of the user's


def test_jobs_join_a_transaction_of_the_users(store: MongoBroker, client: pymongo.MongoClient[dict[str, Any]]) -> None:
    sent, batch = jobs(3), new_id()
    with client.start_session() as session:
        with session.start_transaction():
            client.penstock.orders.insert_one({"_id": 1}, session=session)
            assert store.enqueue(sent, tx=session) == ids(sent)
            assert store.depth(QUEUE) == 0
            session.abort_transaction()
        assert store.depth(QUEUE) == 0
        woken = threading.Event()
        with store.listen(Waking(woken.set)):
            with session.start_transaction():
                store.enqueue([*sent, job(batch=batch, items=5)], tx=session)
                assert not woken.wait(0.2)
            assert woken.wait(20)
    assert store.depth(QUEUE) == 4
    counted = store.inspector().batch(batch)
    assert counted is not None
    assert counted.total == 5


def test_events_join_a_transaction_of_the_users(
    store: MongoBroker, client: pymongo.MongoClient[dict[str, Any]]
) -> None:
    store.subscribe([Subscription("g", "t", "orders.*", QUEUE), Subscription("h", "t", "#", QUEUE)])
    with client.start_session() as session:
        with session.start_transaction():
            assert store.publish([Event(new_id(), "orders.filled", b"")], tx=session) == [2]
            assert store.depth(QUEUE) == 0
            session.abort_transaction()
        with session.start_transaction():
            assert store.publish([Event(new_id(), "orders.filled", b"")], tx=session) == [2]
        assert store.depth(QUEUE) == 2


def test_what_is_there_already_does_not_break_a_transaction(
    store: MongoBroker, client: pymongo.MongoClient[dict[str, Any]]
) -> None:
    first, other = job(unique="k"), job()
    store.enqueue([first, other])
    with client.start_session() as session, session.start_transaction():
        second = job(unique="k")
        assert store.enqueue([second, other], tx=session) == [first.id, other.id]
        client.penstock.orders.insert_one({}, session=session)
    assert store.depth(QUEUE) == 2


def test_two_transactions_that_enqueue_do_not_wait_for_each_other(
    store: MongoBroker, client: pymongo.MongoClient[dict[str, Any]]
) -> None:
    with client.start_session() as one, client.start_session() as two:
        one.start_transaction()
        two.start_transaction()
        store.enqueue(jobs(2), tx=one)
        store.enqueue(jobs(2), tx=two)
        one.commit_transaction()
        two.commit_transaction()
    assert store.depth(QUEUE) == 4


@pytest.mark.parametrize("commit", [True, False])
def test_endings_join_a_transaction(
    store: MongoBroker, client: pymongo.MongoClient[dict[str, Any]], commit: bool
) -> None:
    batch = new_id()
    store.enqueue(jobs(3, batch=batch), now=NOW)
    one, two, three = claim(store)
    assert hand_in(store, Outcome(three)) == []
    follow_up = job(queue="after")
    outcomes = [
        Outcome(one, result=b"r", result_ttl=60, follow_ups=(follow_up,), steps=(Step(batch, done=1),)),
        Outcome(two, Ending.RETRY, delay=5),
        Outcome(three),
    ]
    with client.start_session() as session:
        session.start_transaction()
        given = store.exchange(outcomes, (), 0, ALICE, now=NOW, tx=session)
        assert given.leases == []
        assert given.stale == [outcomes[2]]
        assert state(store, one.id) is State.RUNNING
        if commit:
            session.commit_transaction()
        else:
            session.abort_transaction()
    counted = store.inspector().batch(batch)
    assert counted is not None
    assert counted.done == commit
    assert state(store, one.id) is (State.DONE if commit else State.RUNNING)
    assert state(store, two.id) is (State.DELAYED if commit else State.RUNNING)
    assert store.depth("after") == commit
    assert (store.inspector().result(one.id, now=NOW) == b"r") is commit


def test_what_is_no_transaction_is_refused(
    store: MongoBroker, lone_url: str, client: pymongo.MongoClient[dict[str, Any]]
) -> None:
    with pytest.raises(ConfigError, match="ClientSession"):
        store.enqueue([job()], tx=client)
    with client.start_session() as session, pytest.raises(ConfigError, match="start_transaction"):
        store.enqueue([job()], tx=session)
    lone = opened(lone_url)
    with (
        client.start_session() as session,
        session.start_transaction(),
        pytest.raises(ConfigError, match="replica set"),
    ):
        lone.enqueue([job()], tx=session)
    lone.close()


HOLDS = """
import sys
from penstock.brokers import connect
from penstock.core.job import Holder
from penstock.core.outcome import Outcome
broker = connect(sys.argv[1])
broker.open()
lease, = broker.exchange((), ["default"], 1, Holder("w", 1)).leases
session = broker._opened.client.start_session()
session.start_transaction()
broker.exchange([Outcome(lease)], (), 0, Holder("w", 1), tx=session)
print("held", flush=True)
sys.stdin.read()
"""


def test_a_transaction_that_died_with_its_process_does_not_hold_its_jobs(url: str, store: MongoBroker) -> None:
    sent = job()
    store.enqueue([sent])
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HOLDS), url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        child.kill()
    began = time.monotonic()
    assert store.abandon(msgspec.structs.replace(ALICE, worker="w", process=1)) == 1
    assert time.monotonic() - began < 20
    assert claim_one(store, BOB).id == sent.id


# Time


def test_mongodb_itself_deletes_results_that_nobody_prunes(store: MongoBroker) -> None:
    store.enqueue(jobs(1))
    before = time.time()
    assert hand_in(store, Outcome(claim_one(store), result=b"r", result_ttl=30.0), now=time.time()) == []
    layout = store._opened.layout
    found = layout.results.find_one({})
    assert found is not None
    # No sooner than it expires, whatever `now` the ending was told.
    assert before + 30 < found["gone"].timestamp() < before + 30 + 120
    assert layout.results.index_information()["gone"]["expireAfterSeconds"] == 0
    store.enqueue(jobs(1))
    assert hand_in(store, Outcome(claim_one(store), result=b"r", result_ttl=float("inf"))) == []
    assert layout.results.count_documents({"gone": {"$exists": False}}) == 1


def test_time_is_the_servers(store: MongoBroker) -> None:
    clock = store._opened.clock
    assert abs(clock.ask() - time.time()) < 5
    assert abs(clock.now() - time.time()) < 5
    sent = job(delay=60)
    store.enqueue([sent])
    found = store.inspector().get(sent.id)
    assert found is not None
    assert found.run_at == pytest.approx(time.time() + 60, abs=5)
    due = store.promote()
    assert due == pytest.approx(60, abs=5)


def test_a_heartbeat_counts_from_when_it_is_written(store: MongoBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    # A connection that is held up between a question and its answer, or the next question, makes nobody look silent.
    monkeypatch.setattr(ServerClock, "ask", lambda _: time.time() - 60)
    monkeypatch.setattr(ServerClock, "now", lambda _: time.time() - 60)
    store.heartbeat(WorkerInfo(ALICE.worker, "host", 1, "prefork", 2, (QUEUE,), 0.0))
    monkeypatch.undo()
    assert store.rescue(dead_after=30) == 0
    (worker,) = store.inspector().workers()
    assert worker.silent_for == pytest.approx(0, abs=5)


def test_a_worker_that_nobody_heard_of_has_as_long_as_any_other(store: MongoBroker) -> None:
    store.enqueue(jobs(2), now=NOW)
    claim(store)
    assert store.rescue(dead_after=10, now=NOW) == 0
    assert store.rescue(dead_after=10, now=NOW + 9) == 0
    assert list(store.inspector().workers()) == []
    assert store.rescue(dead_after=10, now=NOW + 11) == 2


def test_a_clock_that_was_set_back_makes_nobody_dead_or_immortal(store: MongoBroker) -> None:
    store.enqueue(jobs(1), now=NOW)
    beat(store, ALICE.worker, NOW + 3600)
    claim(store)
    assert store.rescue(dead_after=0.05, now=NOW) == 0
    gate = threading.Event()
    deadline = time.monotonic() + 20
    while store.rescue(dead_after=0.05, now=NOW) == 0:
        assert time.monotonic() < deadline
        gate.wait(0.02)
    assert store.depth(QUEUE) == 1


# Claims beside others


def test_who_goes_around_others_takes_what_is_behind_theirs_once(store: MongoBroker) -> None:
    sent = ids(jobs(LARGEST + 5))
    store.enqueue([job(id=id) for id in sent], now=NOW)
    assert store.go_around(1)
    assert ids(claim(store, 3)) == sent[LARGEST : LARGEST + 3]
    assert ids(claim(store, 3)) == sent[:3]
    assert store.go_around(2)
    assert ids(claim(store, 3)) == sent[3:6], "there are not that many"
    assert store.go_around(1)
    assert len(claim(store, 2 * LARGEST)) == LARGEST - 4


# Claims whose end nobody heard of


def test_what_was_taken_unheard_is_given_back_and_nothing_else(store: MongoBroker) -> None:
    (first, *sent) = jobs(4)
    store.enqueue([first, *sent], now=NOW)
    (held,) = claim(store, 1)
    claims = store._opened.claims
    unheard = 77
    # The update went through, and the connection was cut before the answer came.
    claims._mark(ids(sent)[:2], unheard, ALICE)
    claims._unheard.append((ALICE, unheard))
    leases = claim(store)
    assert len(leases) == 3
    assert all(lease.claim > unheard for lease in leases)
    assert hand_in(store, Outcome(held), *[Outcome(lease) for lease in leases]) == []
    assert list(store.inspector().count()) == []


def test_what_the_server_takes_after_it_was_given_back_is_given_back_again(store: MongoBroker) -> None:
    sent = jobs(2)
    store.enqueue(sent, now=NOW)
    claims = store._opened.claims
    claims._unheard.append((ALICE, 77))
    assert claim(store, 1, queues=("another",)) == []
    # It had not begun with the update when the connection was cut.
    claims._mark(ids(sent), 77, ALICE)
    assert claim(store) == []
    claims._again_at = 0.0
    assert set(ids(claim(store))) == set(ids(sent))


def test_what_was_taken_of_a_queue_before_another_failed_is_given_back(store: MongoBroker) -> None:
    store.enqueue(jobs(2), now=NOW)
    # A name that can't be sent; the queues take turns to be first.
    for _ in range(2):
        with pytest.raises(UnicodeEncodeError):
            claim(store, queues=(QUEUE, "\ud800"))
    assert len(claim(store)) == 2


# Servers that come and go


def test_a_job_that_was_taken_and_given_back_since_it_was_read_is_read_again(store: MongoBroker) -> None:
    store.enqueue(jobs(3), now=NOW)
    claims = store._opened.claims
    head = claims._ready(QUEUE, 3, 0)
    read = [one["_id"] for one in head]
    lease = claim(store, 1, holder=BOB)[0]
    assert hand_in(store, Outcome(lease, Ending.RELEASED, payload=b"rest", items=2), holder=BOB) == []
    assert {one.id for one in claims._mark(read, claims._next_claim(), ALICE, head)} == set(read[1:])
    (again,) = claim(store)
    assert (again.id, again.payload, again.items) == (read[0], b"rest", 2)


def test_a_job_that_another_has_taken_since_it_was_read_is_left_to_it(store: MongoBroker) -> None:
    store.enqueue(jobs(2), now=NOW)
    assert store.requeue(claim(store), ALICE) == []
    claims = store._opened.claims
    head = claims._ready(QUEUE, 2, 0)
    (theirs,) = claim(store, 1, holder=BOB)
    (mine,) = claims._mark([one["_id"] for one in head], claims._next_claim(), ALICE, head)
    assert mine.id != theirs.id
    assert hand_in(store, Outcome(theirs), holder=BOB) == []


def test_a_job_that_was_replaced_since_it_was_read_is_read_again(store: MongoBroker) -> None:
    store.enqueue([job(unique="k", payload=b"old")], now=NOW)
    claims = store._opened.claims
    head = claims._ready(QUEUE, 1, 0)
    store.enqueue([job(unique="k", payload=b"new", dedup=Dedup(replace=True))], now=NOW)
    assert claims._mark([head[0]["_id"]], claims._next_claim(), ALICE, head) == []
    assert claim_one(store).payload == b"new"


def test_a_restart_in_the_middle_loses_nothing() -> None:
    with MongoServer() as server:
        store = opened(f"{server.url()}&serverSelectionTimeoutMS=20000")
        woken = threading.Event()
        with store.listen(Waking(woken.set)):
            sent = jobs(20)
            store.enqueue(sent)
            lease, *others = claim(store, 5)
            server.kill()
            server.start()
            # Asked for by a command that the driver does not repeat, and the connection is gone.
            assert store._opened.layout.next_places(1) > 0
            assert until_it_answers(lambda: hand_in(store, Outcome(lease))) in ([], [Outcome(lease)])
            woken.clear()
            late = job()
            store.enqueue([late])
            assert woken.wait(30)
        assert state(store, lease.id) is State.DONE
        assert hand_in(store, *[Outcome(other) for other in others]) == []
        assert ids(claim(store)) == [*ids(sent)[5:], late.id]
        store.close()


def until_it_answers(call: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 60
    while True:
        try:
            return call()
        except StoreUnavailable:
            assert time.monotonic() < deadline


def test_a_primary_that_is_killed_takes_nothing_along_and_doubles_nothing() -> None:
    with MongoServer(members=3) as server:
        url = f"{server.url()}&serverSelectionTimeoutMS=20000"
        store, worker = opened(url), opened(url)
        sent: list[bytes] = []
        for _ in range(10):
            batch = jobs(100)
            sent += store.enqueue(batch)
        delivered: Counter[bytes] = Counter()
        lost = threading.Event()

        def work() -> None:
            outcomes: list[Outcome] = []
            while True:
                given = until_it_answers(lambda outcomes=tuple(outcomes): worker.exchange(outcomes, [QUEUE], 20, ALICE))
                delivered.update(ids(given.leases))
                outcomes = [Outcome(lease) for lease in given.leases]
                if len(delivered) > 200:
                    lost.set()
                if not given.leases and finished.is_set():
                    return

        finished = threading.Event()
        thread = threading.Thread(target=work)
        thread.start()
        assert lost.wait(60)
        server.primary().kill()
        for _ in range(5):
            batch = jobs(50)
            sent += until_it_answers(lambda batch=batch: store.enqueue(batch))
        finished.set()
        thread.join(120)
        assert not thread.is_alive()
        assert delivered == Counter(sent)
        assert list(store.inspector().count()) == []
        assert list(store.inspector().list(Selection())) == []
        store.close()
        worker.close()


def test_sessions_are_told_apart_by_name(url: str, mongo_server: MongoServer) -> None:
    broker = opened(f"{url}&appName=shop")
    with mongo_client(mongo_server) as admin:
        names = {found.get("appName") for found in admin.admin.aggregate([{"$currentOp": {"idleConnections": True}}])}
    assert "penstock shop" in names
    broker.close()


def mongo_client(server: MongoServer) -> pymongo.MongoClient[dict[str, Any]]:
    return pymongo.MongoClient(server.url())


def test_a_count_misses_no_job_that_goes_from_state_to_state(url: str) -> None:
    with_jobs, counting, over = opened(url), opened(url), threading.Event()
    with_jobs.enqueue(jobs(20), now=NOW)

    def move() -> None:
        while not over.is_set():
            leases = with_jobs.exchange((), (QUEUE,), 20, ALICE).leases
            with_jobs.exchange([Outcome(lease, Ending.RELEASED) for lease in leases], (), 0, ALICE)

    mover = threading.Thread(target=move)
    mover.start()
    try:
        seen = {sum(each.ready + each.running for each in counting.inspector().count()) for _ in range(200)}
    finally:
        over.set()
        mover.join()
    assert seen == {20}
    with_jobs.close()
    counting.close()
