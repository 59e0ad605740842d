"""What RabbitMQ does in its own way: messages, their delays and deliveries, and what becomes of them when it fails."""

import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pika
import pytest

from penstock.brokers import connect
from penstock.brokers.amqp.broker import AmqpBroker
from penstock.brokers.amqp.url import parse
from penstock.brokers.inspect import Selection
from penstock.brokers.listener import Waking
from penstock.chaos.detour import by_way_of, target_of
from penstock.chaos.proxy import Proxy
from penstock.client import new_id
from penstock.core.job import Failure, Holder, Lease
from penstock.core.limiter import Limit, queue_gate
from penstock.core.outcome import Ending, Outcome
from penstock.core.states import State
from penstock.core.topics import Event, body
from penstock.errors import ConfigError, StoreError, StoreUnavailable
from penstock.testing.contract.harness import ALICE, BOB, Told, beat, claim_one, ids, job, jobs
from penstock.testing.contract.workflows import done, given, read, stage, started
from penstock.testing.servers import RabbitServer, RedisServer

QUEUE = "default"
PATIENCE = 30.0


@pytest.fixture
def url(rabbit_server: RabbitServer, tmp_path: Path) -> str:
    name = f"own{abs(hash(tmp_path))}"
    return f"{rabbit_server.url()}?namespace={name}&backend=sqlite:///{tmp_path}/backend.db"


@pytest.fixture
def store(url: str) -> Iterator[AmqpBroker]:
    with closing(AmqpBroker(url)) as broker:
        broker.open()
        yield broker


def claim(store: AmqpBroker, limit: int = 100, holder: Holder = ALICE) -> list[Lease]:
    return store.exchange((), [QUEUE], limit, holder).leases


def claim_when_there(store: AmqpBroker, holder: Holder = ALICE) -> list[Lease]:
    """Take what there is as soon as there is any; the bell tells."""
    rung = threading.Event()
    with store.listen(Waking(rung.set)):
        deadline = time.monotonic() + PATIENCE
        while not (leases := claim(store, holder=holder)):
            assert time.monotonic() < deadline
            rung.wait(1.0)
            rung.clear()
    return leases


def test_a_plain_job_rings_as_one_that_is_sent_once_its_lane_is_known(store: AmqpBroker) -> None:
    told = Told()
    with store.listen(told):
        store.enqueue(jobs(1))
        assert told.next() == "ready"
        store._layout._fresh_until = 0.0
        store.enqueue(jobs(1))
        assert _told_but(told, "ready") == "sent"
        store.enqueue(jobs(1, priority=7))
        assert _told_but(told, "sent") == "ready"


def _told_but(told: Told, word: str) -> str:
    """What else it is told: a job may ring twice."""
    while (other := told.next()) == word:
        pass
    return other


@pytest.mark.parametrize("limit", [None, Limit(concurrency=1)])
def test_who_has_a_limit_does_not_stand_by_for_all(store: AmqpBroker, limit: Limit | None) -> None:
    store.declare({queue_gate(QUEUE): limit})
    assert claim(store) == []
    assert store.standby([QUEUE], lambda: None) == (limit is None)


def test_a_job_of_the_backend_is_sent_to_nobody(store: AmqpBroker) -> None:
    told = Told()
    store.enqueue(jobs(1))
    with store.listen(told):
        beat(store, "listener")
        store.enqueue([job(unique="u")])
        assert told.next() == "ready"


def end(store: AmqpBroker, lease: Lease, ending: Ending = Ending.DONE, **fields: Any) -> None:
    assert store.exchange([Outcome(lease, ending, **fields)], (), 0, ALICE).stale == []


def queue_of(url: str, priority: int = 5) -> str:
    return f"{parse(url).namespace}.jobs.{QUEUE}~{priority}"


def test_a_lost_connection_gives_back_what_came_by_it(store: AmqpBroker, url: str) -> None:
    sent = jobs(3)
    store.enqueue(sent)
    leases = claim(store)
    store.close()
    store.open()
    late = [Outcome(lease) for lease in leases]
    assert store.exchange(late, (), 0, ALICE).stale == late
    again = claim_when_there(store)
    assert ids(again) == ids(sent)
    assert [lease.attempt for lease in again] == [0, 0, 0]
    assert min(lease.claim for lease in again) > max(lease.claim for lease in leases)


def test_what_could_not_be_stored_of_an_ending_runs_again(store: AmqpBroker) -> None:
    store.enqueue([sent := job()])
    (lease,) = claim(store)
    with pytest.raises(ValueError, match="surrogates"):
        store.exchange([Outcome(lease, follow_ups=(job(task="\ud800"),))], (), 0, ALICE)
    store.close()
    store.open()
    assert ids(claim_when_there(store)) == [sent.id]


def test_a_short_delay_does_not_stand_behind_a_long_one(store: AmqpBroker) -> None:
    long, short = job(delay=600.0), job(delay=0.25)
    began = time.monotonic()
    store.enqueue([long, short])
    assert store.depth(QUEUE) == 0
    assert ids(claim_when_there(store)) == [short.id]
    assert time.monotonic() - began >= 0.25


def test_a_retry_waits_and_counts_an_attempt(store: AmqpBroker) -> None:
    store.enqueue([sent := job()])
    (lease,) = claim(store)
    began = time.monotonic()
    end(store, lease, Ending.RETRY, delay=0.2, failure=Failure("E", "m"))
    assert claim(store) == []
    (again,) = claim_when_there(store)
    assert time.monotonic() - began >= 0.2
    assert (again.id, again.attempt) == (sent.id, 1)
    end(store, again, Ending.SNOOZE, delay=0.05, payload=b"rest", items=2)
    (third,) = claim_when_there(store)
    assert (third.attempt, third.payload, third.items) == (1, b"rest", 2)


def test_what_is_to_wait_for_longer_than_the_longest_delay_goes_round_again(
    store: AmqpBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.brokers.amqp.layout.LONGEST", 0.08)
    store.enqueue([sent := job(delay=0.2)])
    began = time.monotonic()
    assert ids(claim_when_there(store)) == [sent.id]
    assert time.monotonic() - began >= 0.19


def test_a_dead_letter_is_listed_and_comes_back_from_the_backend(store: AmqpBroker) -> None:
    failure = Failure("ValueError", "no", "Traceback")
    store.enqueue([sent := job()])
    (lease,) = claim(store)
    end(store, lease, Ending.DEAD, failure=failure)
    (record,) = store.inspector().list(Selection(state=State.DEAD))
    assert (record.id, record.failure, record.attempt) == (sent.id, failure, 1)
    assert store.inspector().retry(Selection(ids=(sent.id,))) == 1
    assert ids(claim(store)) == [sent.id]


def test_a_result_is_kept_by_the_backend(store: AmqpBroker) -> None:
    store.enqueue(jobs(3))
    leases = claim(store)
    outcomes = [Outcome(lease, result=b"%d" % number, result_ttl=60.0) for number, lease in enumerate(leases)]
    assert store.exchange(outcomes, (), 0, ALICE).stale == []
    assert [store.inspector().result(lease.id) for lease in leases] == [b"0", b"1", b"2"]
    assert store.depth(QUEUE) == 0


def test_a_plain_job_does_not_touch_the_backend(url: str, tmp_path: Path) -> None:
    with closing(AmqpBroker(url)) as sender:
        sender.open()
        sender.enqueue(jobs(5))
    assert not (tmp_path / "backend.db").exists()


def test_what_a_message_can_not_do_the_backend_does(store: AmqpBroker) -> None:
    first, second, once = job(unique="k"), job(unique="k"), job(at_most_once=True)
    assert store.enqueue([first, second, once]) == [first.id, first.id, once.id]
    assert {lease.id for lease in claim(store)} == {first.id, once.id}
    assert store.inspector().cancel(Selection(ids=(first.id,))) == 1


def test_what_is_returned_by_a_crash_counts_it(store: AmqpBroker, url: str) -> None:
    store.enqueue([sent := job()])
    with closing(AmqpBroker(url)) as dies:
        dies.open()
        (lease,) = claim(dies, holder=BOB)
        assert lease.crashes == 0
    assert store.abandon(BOB, [sent.id]) == 0
    (again,) = claim_when_there(store)
    assert (again.crashes, again.attempt) == (1, 0)


def test_a_message_that_is_no_job_becomes_a_dead_letter(store: AmqpBroker, url: str, channel: Any) -> None:
    plain = [b"i" * 16, "t", b"", "default", 5, 0, 0, None, 1, False, None, 0.0, 0.0]
    not_utf8, deep = msgspec.Raw(b"\xa1\xff"), msgspec.Raw(b"\x91" * 50_000 + b"\x90")
    wrong = [
        [b"i", *plain[1:]],
        [plain[0], not_utf8, *plain[2:]],
        [*plain, deep],
        [*plain[:4], 10, *plain[5:]],
        [*plain[:11], float("inf")],
    ]
    bodies = {b"{not msgpack", *map(msgspec.msgpack.encode, wrong)}
    store.enqueue([sent := job()])
    for each in bodies:
        channel.basic_publish("", queue_of(url), each, pika.BasicProperties(delivery_mode=2))
    assert ids(claim_when_there(store)) == [sent.id]
    deadline = time.monotonic() + PATIENCE
    while len(dead := store.inspector().list(Selection(state=State.DEAD))) < len(bodies):
        assert time.monotonic() < deadline
        assert claim(store) == []
    assert {record.payload for record in dead} == bodies
    assert {record.failure.kind for record in dead if record.failure is not None} == {"PayloadError"}


def test_what_a_queue_gives_up_becomes_a_dead_letter(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.brokers.amqp.layout.DELIVERIES", 2)
    with closing(AmqpBroker(url)) as store:
        store.open()
        store.enqueue([sent := job()])
        for _ in range(3):
            (lease,) = claim_when_there(store)
            end(store, lease, Ending.RELEASED)
        deadline = time.monotonic() + PATIENCE
        while not (dead := store.inspector().list(Selection(state=State.DEAD))):
            assert time.monotonic() < deadline
            store.rescue(dead_after=60.0)
        assert [one.id for one in dead] == [sent.id]
        assert "delivery_limit" in str(dead[0].failure)
        assert store.depth(QUEUE) == 0


def test_a_queue_that_is_deleted_is_declared_again(store: AmqpBroker, url: str, channel: Any) -> None:
    store.enqueue(jobs(2))
    assert len(claim(store, 1)) == 1
    channel.queue_delete(queue_of(url))
    sent = job()
    for _ in range(3):
        try:
            store.enqueue([sent])
            break
        except StoreUnavailable:
            pass
    deadline = time.monotonic() + PATIENCE
    taken: list[bytes] = []
    while sent.id not in taken:
        assert time.monotonic() < deadline
        with suppress(StoreUnavailable):
            taken += ids(claim(store))


def test_what_is_not_confirmed_is_not_accepted(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = Proxy(target_of(url))
    with closing(proxy), closing(AmqpBroker(by_way_of(url, proxy.port))) as store:
        store.open()
        store.enqueue(jobs(1))
        # Not even the answer to the first can be taken for that of the second.
        proxy.fall_silent()
        monkeypatch.setattr("penstock.brokers.amqp.link.ANSWER", 0.2)
        with pytest.raises(StoreUnavailable, match="does not answer"):
            store.enqueue(jobs(1))


def test_a_connection_that_is_cut_is_opened_anew(store: AmqpBroker, rabbit_server: RabbitServer) -> None:
    store.enqueue(sent := jobs(4))
    held = claim(store, 2)
    rabbit_server.control("close_all_connections", "--vhost", "/", "cut")
    taken: list[bytes] = []
    deadline = time.monotonic() + PATIENCE
    while len(taken) < 4:
        assert time.monotonic() < deadline
        with suppress(StoreUnavailable):
            taken += ids(claim(store))
    assert Counter(taken) == Counter(ids(sent))
    late = [Outcome(lease) for lease in held]
    assert store.exchange(late, (), 0, ALICE).stale == late


def test_a_killed_server_loses_nothing_that_it_confirmed(tmp_path: Path) -> None:
    with RabbitServer() as server, closing(AmqpBroker(f"{server.url()}?backend=sqlite:///{tmp_path}/b.db")) as store:
        store.open()
        sent = jobs(200)
        store.enqueue(sent)
        done = claim(store, 50)
        store.exchange([Outcome(lease) for lease in done], (), 0, ALICE)
        # The last that is declared before the end: what it was declared by a moment ago is lost unless the server wrote that down.
        late = [job(delay=0.1), job(delay=3.0)]
        store.enqueue(late)
        sent += late
        with pika.BlockingConnection(pika.URLParameters(server.url("%2F"))) as connection:
            channel: Any = connection.channel()
            channel.queue_declare("theirs", durable=True)
            channel.exchange_declare("penstock.published", "topic", durable=True)
            channel.queue_bind("theirs", "penstock.published", "orders.*")
        store.publish([event := Event(new_id(), "orders.filled", body("orders.filled", b"\x07"))])
        server.kill()
        with pytest.raises(StoreUnavailable, match="try again"):
            store.enqueue([job()])
        server.start()
        taken: list[bytes] = []
        deadline = time.monotonic() + PATIENCE
        missing = set(ids(sent)) - set(ids(done))
        while not missing <= set(taken):
            assert time.monotonic() < deadline
            try:
                leases = claim(store)
                taken += ids(leases)
                store.exchange([Outcome(lease) for lease in leases], (), 0, ALICE)
            except StoreUnavailable:
                pass
        # What was acknowledged in its last moment may come again.
        assert set(taken) <= set(ids(sent))
        with pika.BlockingConnection(pika.URLParameters(server.url("%2F"))) as connection:
            _, told, theirs = connection.channel().basic_get("theirs")
            assert (told.message_id, theirs) == (str(UUID(bytes=event.id)), b"7")


def test_what_lanes_are_known_by_is_not_away_with_one_node(store: AmqpBroker, url: str, channel: Any) -> None:
    store.enqueue([job()])
    # Of another type, the server would refuse it.
    channel.queue_declare(
        f"{parse(url).namespace}.known", durable=True, arguments={"x-queue-type": "quorum", "x-max-length": 0}
    )


def test_higher_priorities_of_others_are_found(store: AmqpBroker, url: str) -> None:
    store.enqueue([low := job(priority=1)])
    with closing(AmqpBroker(url)) as sender:
        sender.open()
        sender.enqueue([high := job(priority=9)])
    assert ids([*claim(store), *claim(store)]) in ([high.id, low.id], [low.id, high.id])


def test_what_is_not_asked_for_is_not_held(store: AmqpBroker, url: str) -> None:
    store.enqueue(sent := jobs(10))
    first = claim(store, 3)
    with closing(AmqpBroker(url)) as other:
        other.open()
        assert len(claim(other, 100, holder=BOB)) == 7
        end(store, first[0])
        store.enqueue([late := job()])
        assert ids(claim_when_there(other, BOB)) == [late.id]
    assert len(sent) == 10


BAD = {
    "password": ("amqp://guest:s3cret@127.0.0.1:{port}/", "user and password"),
    "vhost": ("amqp://guest:guest@127.0.0.1:{port}/nowhere", "vhost"),
    "tls": ("amqps://guest:guest@127.0.0.1:{port}/", "amqps"),
    "port": ("amqp://guest:s3cret@127.0.0.1:1/", "no server answers"),
}


@pytest.mark.parametrize("kind", list(BAD))
def test_what_is_wrong_is_said_in_one_line(kind: str, rabbit_server: RabbitServer, tmp_path: Path) -> None:
    pattern, said = BAD[kind]
    broker = connect(f"{pattern.format(port=rabbit_server.port)}?backend=sqlite:///{tmp_path}/b.db")
    with pytest.raises(StoreError, match=said) as caught:
        broker.open()
    assert "\n" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_server_that_hangs_up_is_to_be_tried_again(tmp_path: Path) -> None:
    """As one does that is killed; at whichever moment of the connection's making."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    client.close()

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        url = f"amqp://guest:guest@127.0.0.1:{listener.getsockname()[1]}/?backend=sqlite:///{tmp_path}/b.db"
        for _ in range(50):
            with closing(AmqpBroker(url)) as broker, pytest.raises(StoreUnavailable, match="try again"):
                broker.open()
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.mark.parametrize(
    "wrong", ["?colour=red", "?heartbeat=0", "?namespace=a.b", "?backend=amqp://host", "?tls=maybe", "/a/b@c:99999999"]
)
def test_a_url_that_can_not_be_read_says_why(wrong: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(f"amqp://me:s3cret@host{wrong}")
    assert "s3cret" not in str(caught.value)


def test_workflows_are_the_backends_when_that_is_redis(url: str, redis_server: RedisServer) -> None:
    place, _, _ = url.partition("&backend=")
    with closing(AmqpBroker(f"{place}&backend={redis_server.url()}")) as broker:
        broker.open()
        flows = broker.workflows()
        first, other = stage(), stage()
        made = started(flows, first, other, stage(after=[first, other], shape=[0, 0]))
        for lease in claim(broker):
            done(broker, lease, value="it")
        lease = claim_one(broker)
        assert given(lease) == ["it", "it"]
        done(broker, lease)
        assert read(flows, made).state is State.DONE


def test_a_backend_is_a_file_of_this_hosts_unless_it_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    url = parse("amqp://localhost/")
    assert url.backend.startswith(f"sqlite:///{tmp_path}/penstock/amqp-")
    assert not url.given
    assert parse("amqp://localhost/?namespace=a&backend=postgresql://h/db").backend == "postgresql://h/db?schema=a"
    assert parse("amqp://localhost/other").backend != url.backend


def test_a_transaction_can_not_be_joined(store: AmqpBroker) -> None:
    with pytest.raises(ConfigError, match="transaction"):
        store.enqueue([job()], tx=object())


def test_the_doctor_looks_at_server_and_backend(url: str, store: AmqpBroker) -> None:
    store.enqueue([job(unique="k")])
    found = {check.name: check for check in store.diagnose()}
    assert found["server"].found.startswith("RabbitMQ")
    assert "backend" in found
    assert any(name.startswith("backend: ") for name in found)
