"""Events that come to programs which know nothing of Penstock, through queues that these have bound."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import UUID

import msgspec
import pytest

from penstock.brokers.amqp.broker import AmqpBroker
from penstock.brokers.amqp.url import parse
from penstock.brokers.amqp.wire import Wire
from penstock.brokers.base import Broker
from penstock.client import new_ids
from penstock.core.ids import made_at
from penstock.core.limiter import Limit
from penstock.core.signing import Signing
from penstock.core.topics import Event, Subscription, body, job_id
from penstock.errors import StoreError, StoreUnavailable
from penstock.testing.contract.harness import ALICE, ids
from penstock.testing.servers import RabbitServer

LEDGER = Subscription("ledger", "app.book", "orders.*", "ledger")
MAIL = Subscription("mail", "app.write", "orders.filled", "mail", gate="app.write")


@pytest.fixture
def store(open_rabbit: Callable[[], AmqpBroker]) -> AmqpBroker:
    return open_rabbit()


@pytest.fixture
def namespace(rabbit_url: str) -> str:
    return parse(rabbit_url).namespace


class Outsider:
    """A program with a queue of its own, which it binds by RabbitMQ's own means."""

    def __init__(self, channel: Any, namespace: str, pattern: str = "orders.*") -> None:
        self._channel, self.queue = channel, f"theirs.{namespace}.{pattern}"
        channel.exchange_declare(f"{namespace}.published", "topic", durable=True)
        channel.queue_declare(self.queue, durable=True)
        channel.queue_bind(self.queue, f"{namespace}.published", pattern)

    def messages(self) -> list[tuple[str, Any, bytes]]:
        """What came: routing keys, properties and bodies. What was confirmed is there."""
        came = []
        while (found := self._channel.basic_get(self.queue, auto_ack=True))[0] is not None:
            came.append((found[0].routing_key, found[1], found[2]))
        return came

    def events(self) -> list[tuple[str, Any]]:
        return [(key, json.loads(body)) for key, _, body in self.messages()]


def events(*values: Any, topic: str = "orders.filled") -> list[Event]:
    made = zip(values, new_ids(len(values)), strict=True)
    return [Event(id, topic, body(topic, msgspec.msgpack.encode(value))) for value, id in made]


def test_an_outsider_gets_each_event_once_whoever_publishes_it(store: AmqpBroker, channel: Any, namespace: str) -> None:
    outsider, all_of_them = Outsider(channel, namespace), Outsider(channel, namespace, "#")
    store.subscribe([LEDGER])
    assert store.publish(events({"order": 7}) + events(1, topic="refunds")) == [1, 0]
    channel.basic_publish(f"{namespace}.topics", "orders.sent", b'{"order": 8}', mandatory=True)
    channel.basic_publish(f"{namespace}.topics", "refunds", b"2", mandatory=True)
    # Its jobs come of the other's event, and it does not go out again by that.
    assert len(store.exchange((), ["ledger"], 10, ALICE).leases) == 2
    assert outsider.events() == [("orders.filled", {"order": 7}), ("orders.sent", {"order": 8})]
    assert all_of_them.events() == [
        ("orders.filled", {"order": 7}), ("refunds", 1), ("orders.sent", {"order": 8}), ("refunds", 2),
    ]  # fmt: skip


def test_an_event_goes_out_that_no_group_gets(store: AmqpBroker, channel: Any, namespace: str) -> None:
    assert store.publish(events(0)) == [0]
    outsider = Outsider(channel, namespace)
    assert store.publish(events(*range(1, 4))) == [0, 0, 0]
    assert outsider.events() == [("orders.filled", number) for number in range(1, 4)]


def test_what_an_outsider_is_told(store: AmqpBroker, channel: Any, namespace: str) -> None:
    outsider = Outsider(channel, namespace)
    (event,) = events({"order": 7})
    for _ in range(2):
        # As after an answer that was lost.
        store.publish([event])
    (_, told, _), (_, again, _) = outsider.messages()
    assert (told.content_type, told.delivery_mode) == ("application/json", 2)
    assert UUID(told.message_id).bytes == event.id
    assert told.timestamp == int(made_at(event.id) or 0)
    assert again.message_id == told.message_id


def test_many_events_of_several_topics(store: AmqpBroker, channel: Any, namespace: str) -> None:
    outsider = Outsider(channel, namespace)
    store.declare({"app.write": Limit(concurrency=10)})
    store.subscribe([LEDGER, MAIL])
    sent = events(*range(150)) + events(*range(150), topic="orders.sent") + events(*range(150), topic="refunds")
    assert Counter(store.publish(sent)) == {2: 150, 1: 150, 0: 150}
    came = outsider.events()
    for topic in ("orders.filled", "orders.sent"):
        assert [value for key, value in came if key == topic] == list(range(150))
    assert len(came) == 300


def test_of_many_events_that_nobody_takes_one_is_sent(store: AmqpBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    publish = Wire.publish

    def seen(self: Wire, posts: Any, *ring: Any) -> Any:
        sent.extend(post.key for post in posts)
        return publish(self, posts, *ring)

    monkeypatch.setattr(Wire, "publish", seen)
    store.publish(events(*range(100)) + events(*range(100), topic="refunds"))
    assert sent == ["orders.filled", "refunds"]


def test_events_that_are_signed_go_out_as_they_are(store: AmqpBroker, channel: Any, namespace: str) -> None:
    outsider = Outsider(channel, namespace)
    store.publish([Signing(["k" * 32]).event(events({"order": 7})[0])])
    assert outsider.events() == [("orders.filled", {"order": 7})]


def test_what_json_has_no_form_for_goes_out_as_msgpack(store: AmqpBroker, channel: Any, namespace: str) -> None:
    outsider = Outsider(channel, namespace)
    deep: Any = []
    for _ in range(500):
        deep = [deep]
    store.publish(events({(1, 2): 3}))
    store.publish(events(deep))
    told = [(properties.content_type, body) for _, properties, body in outsider.messages()]
    assert told[0] == ("application/msgpack", msgspec.msgpack.encode({(1, 2): 3}))
    assert told[1][1] in {msgspec.msgpack.encode(deep), msgspec.json.encode(deep)}


def test_an_exchange_that_was_deleted_is_there_again(store: AmqpBroker, channel: Any, namespace: str) -> None:
    store.subscribe([LEDGER])
    store.publish(events(1))
    channel.exchange_delete(f"{namespace}.published")
    with pytest.raises(StoreUnavailable, match="try again"):
        store.publish(events(2))
    outsider = Outsider(channel, namespace)
    (event,) = events(3)
    assert store.publish([event]) == [1]
    assert outsider.events() == [("orders.filled", 3)]
    assert job_id(event.id, LEDGER) in ids(store.exchange((), ["ledger"], 10, ALICE).leases)


def test_who_may_not_publish_to_outsiders_stores_no_job(
    store: AmqpBroker, opened: Callable[[str], Broker], rabbit_server: RabbitServer, rabbit_url: str, namespace: str
) -> None:
    store.subscribe([LEDGER, MAIL])
    assert store.publish(events(1)) == [2]
    assert len(store.exchange((), ["ledger", "mail"], 10, ALICE).leases) == 2
    rabbit_server.control("add_user", namespace, "secret")
    rabbit_server.control("set_permissions", "-p", "/", namespace, ".*", f"^(?!{namespace}\\.published$).*", ".*")
    limited = opened(rabbit_url.replace("guest:guest", f"{namespace}:secret"))
    for several in (events(2), events(3, 4)):
        with pytest.raises(StoreError, match="set_permissions"):
            limited.publish(several)
    assert (store.depth("ledger"), store.depth("mail")) == (0, 0)
    assert store.exchange((), ["ledger", "mail"], 10, ALICE).leases == []
