"""Events that other programs publish to RabbitMQ, in JSON."""

import json
import re
import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pika
import pytest

from penstock.brokers.amqp.broker import AmqpBroker
from penstock.brokers.amqp.url import parse
from penstock.brokers.base import Exchange
from penstock.brokers.inspect import Selection
from penstock.brokers.listener import Waking
from penstock.core.ids import uuid7
from penstock.core.job import Lease
from penstock.core.limiter import Limit
from penstock.core.outcome import Outcome
from penstock.core.states import State
from penstock.core.topics import Subscription, job_id, opened
from penstock.errors import StoreUnavailable
from penstock.testing.contract.harness import ALICE, BOB, ids

LEDGER = Subscription("ledger", "app.book", "orders.*", "ledger")
AUDIT = Subscription("audit", "app.note", "#", "audit")
PATIENCE = 30.0

Publish = Callable[..., None]


@pytest.fixture
def store(open_rabbit: Callable[[], AmqpBroker]) -> AmqpBroker:
    return open_rabbit()


@pytest.fixture
def publish(rabbit_url: str, channel: Any) -> Publish:
    """Publishes as a program would that knows RabbitMQ alone."""

    def send(topic: Any, body: bytes, **properties: Any) -> None:
        lasting = pika.BasicProperties(delivery_mode=2, **properties)
        channel.basic_publish(f"{parse(rabbit_url).namespace}.topics", topic, body, lasting, mandatory=True)

    return send


def claim(store: AmqpBroker, *queues: str) -> list[Lease]:
    return store.exchange((), queues, 10_000, ALICE).leases


def read(lease: Lease) -> tuple[str, str, bytes]:
    found = opened(lease.payload)
    assert found is not None
    return lease.task, found.topic, found.content


def dead(store: AmqpBroker) -> list[str]:
    return [str(one.failure and one.failure.message) for one in store.inspector().list(Selection(state=State.DEAD))]


def test_each_group_gets_what_another_program_publishes(store: AmqpBroker, publish: Publish) -> None:
    store.subscribe([LEDGER, AUDIT])
    publish("orders.filled", b'{"order": 7}')
    publish("x", b"[1]")
    (booked,) = claim(store, "ledger")
    assert read(booked) == ("app.book", "orders.filled", b"\x81\xa5order\x07")
    noted = claim(store, "audit")
    assert [read(lease)[1:] for lease in noted] == [("orders.filled", b"\x81\xa5order\x07"), ("x", b"\x91\x01")]
    assert store.exchange([Outcome(lease) for lease in (booked, *noted)], ["ledger", "audit"], 10, ALICE) == Exchange(
        [], []
    )


def test_what_nobody_subscribes_to_is_dropped(store: AmqpBroker, publish: Publish) -> None:
    store.subscribe([LEDGER])
    publish("refunds", b"1")
    assert claim(store, "ledger") == []
    store.subscribe([AUDIT])
    assert claim(store, "ledger", "audit") == []


def test_an_event_keeps_an_id_that_tells_its_time(store: AmqpBroker, publish: Publish) -> None:
    store.declare({"app.book": Limit(concurrency=10)})
    store.subscribe([Subscription("ledger", "app.book", "#", "ledger", gate="app.book")])
    id = uuid7(1_700_000_000_000, b"0123456789")
    for _ in range(2):
        publish("orders.filled", b"1", message_id=str(UUID(bytes=id)))
    publish("orders.filled", b"1", message_id="17")
    publish("orders.filled", b"1", message_id=str(UUID(int=17)))
    leases = claim(store, "ledger")
    # The second is a job of the backend's, as its handler has a limit: it is known there.
    assert len(leases) == 3
    assert ids(leases).count(job_id(id, LEDGER)) == 1


@pytest.mark.parametrize(
    ("topic", "body", "said"),
    [
        ("orders.filled", b"", "no event in JSON"),
        ("orders.filled", b"\x93\x01", "malformed"),
        ("orders.filled", b'{"a": NaN}', "malformed"),
        ("orders.filled", b'"\xff"', "no event in JSON"),
        ("orders.filled", b"1" + b"0" * 400, "number"),
        ("orders.filled", b"[" * 100_000, "nested|recursion"),
        ("orders.filled", b'"' + b"x" * (8 << 20) + b'"', "may have 8,388,608"),
        ("orders..filled", b"1", "words with dots"),
        ("orders.*", b"1", "name the topic"),
        (b"orders.\xff", b"1", "not in UTF-8"),
    ],
    ids=["nothing", "msgpack", "no number", "no text", "too large a number", "too deep", "too long", "no topic", "a pattern", "no key"],
)  # fmt: skip
def test_garbage_becomes_a_dead_letter_that_says_why(
    store: AmqpBroker, publish: Publish, topic: Any, body: bytes, said: str
) -> None:
    store.subscribe([LEDGER])
    publish("orders.filled", b"1")
    publish(topic, body)
    publish("orders.filled", b"2")
    assert [read(lease)[2] for lease in claim(store, "ledger")] == [b"\x01", b"\x02"]
    (why,) = dead(store)
    assert re.search(said, why), why


def test_a_worker_wakes(store: AmqpBroker, open_rabbit: Callable[[], AmqpBroker], publish: Publish) -> None:
    worker, woken = open_rabbit(), threading.Event()
    assert claim(worker, "ledger") == []
    with worker.listen(Waking(woken.set)):
        store.subscribe([LEDGER])
        woken.clear()
        publish("orders.filled", b"1")
        assert woken.wait(PATIENCE)
        assert len(claim(worker, "ledger")) == 1


def test_more_than_are_handed_out_at_once(store: AmqpBroker, publish: Publish) -> None:
    store.subscribe([LEDGER])
    for number in range(600):
        publish("orders.filled", json.dumps(number).encode())
    seen: list[bytes] = []
    while leases := claim(store, "ledger"):
        seen += [read(lease)[2] for lease in leases]
        store.exchange([Outcome(lease) for lease in leases], (), 0, ALICE)
    assert len(set(seen)) == 600


def test_without_its_queue_a_worker_declares_it_again(
    store: AmqpBroker, rabbit_url: str, channel: Any, publish: Publish
) -> None:
    store.subscribe([LEDGER])
    assert claim(store, "ledger") == []
    channel.queue_delete(f"{parse(rabbit_url).namespace}.events")
    with pytest.raises(StoreUnavailable, match="queue was deleted"):
        claim(store, "ledger")
    assert claim(store, "ledger") == []
    publish("orders.filled", b"1")
    assert len(claim(store, "ledger")) == 1


def test_where_the_backend_is_away_events_wait(
    store: AmqpBroker, open_rabbit: Callable[[], AmqpBroker], publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.subscribe([LEDGER])
    publish("orders.filled", b"1")

    def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("the backend restarts: try again")

    with monkeypatch.context() as patch:
        patch.setattr(store._keeper.open(), "subscriptions", away)
        with pytest.raises(StoreUnavailable, match="restarts"):
            claim(store, "ledger")
    assert len(open_rabbit().exchange((), ["ledger"], 10, BOB).leases) == 1


def test_events_leave_with_the_jobs_of_their_handlers(store: AmqpBroker, publish: Publish) -> None:
    store.subscribe([LEDGER])
    publish("orders.filled", b"1")
    transfer = store.transfer()
    assert transfer.left(None).movable == 1
    found = []
    while transfer.left(None).movable:
        shipped = transfer.ship(b"n" * 16, "elsewhere", None, 10)
        if shipped is not None:
            found += [(one.task, one.queue) for one in shipped[1].jobs]
            transfer.discard(shipped[0])
    assert found == [("app.book", "ledger")]
