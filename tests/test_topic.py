"""Publishing."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from penstock import Penstock
from penstock.errors import ConfigError, JobFailed, MissingFeature
from penstock.topic import Topic


class Filled(msgspec.Struct):
    id: int


@pytest.fixture
def app(queue_url: str) -> Iterator[Penstock]:
    app = Penstock(queue_url)
    yield app
    app.close()


@pytest.fixture
def got(app: Penstock) -> list[tuple[str, object]]:
    """What the handlers of two groups get; a third has none of it."""
    got: list[tuple[str, object]] = []

    @app.subscribe("orders.*", group="ledger", name="book")
    def book(event: Filled) -> None:
        got.append(("book", event.id))

    @app.subscribe("#.filled", "orders.filled", group="mail", name="tell")
    def tell(event: Filled, topic: str) -> None:
        got.append((topic, event.id))

    @app.subscribe("refunds", group="refunds", name="refund")
    def refund(event: object) -> None:
        got.append(("refund", event))

    with app.client.broker() as broker:
        assert app.register(broker) == 4
        assert app.register(broker) == 0
    return got


def test_each_group_gets_each_event(app: Penstock, got: list[tuple[str, object]]) -> None:
    assert app.topic("orders.filled", Filled).publish(Filled(1)) == 2
    assert app.topic("orders.sent").publish({"id": 2}) == 1
    assert app.topic("nobody").publish(None) == 0
    assert app.drain() == 3
    assert sorted(got) == [("book", 1), ("book", 2), ("orders.filled", 1)]


def test_many_events_keep_their_order(app: Penstock, got: list[tuple[str, object]]) -> None:
    assert app.topic("orders.sent", Filled).publish_many(Filled(n) for n in range(50)) == [1] * 50
    assert app.topic("orders.sent").publish_many([]) == []
    assert app.drain() == 50
    assert got == [("book", n) for n in range(50)]


def test_more_events_than_go_into_one_commit(app: Penstock, got: list[tuple[str, object]]) -> None:
    assert app.topic("orders.filled", Filled).publish_many(Filled(n) for n in range(2001)) == [2] * 2001
    with app.inspector() as inspector:
        assert {one.queue: one.ready for one in inspector.count()} == {"ledger": 2001, "mail": 2001}


def test_concurrent_publishers_share_commits(app: Penstock, got: list[tuple[str, object]]) -> None:
    orders = app.topic("orders.filled", Filled)

    async def main() -> list[int]:
        return await asyncio.gather(*(orders.publish_async(Filled(n)) for n in range(100)))

    assert asyncio.run(main()) == [2] * 100
    assert app.drain() == 200


def test_an_event_in_a_transaction_of_the_users(app: Penstock, got: list[tuple[str, object]], queue_file: Path) -> None:
    orders = app.topic("orders.filled", Filled)
    with closing(sqlite3.connect(queue_file)) as mine:
        assert orders.publish(Filled(1), tx=mine) == 2
        mine.rollback()
        assert orders.publish_many([Filled(2), Filled(3)], tx=mine) == [2, 2]
        mine.commit()
        assert asyncio.run(orders.publish_async(Filled(4), tx=mine)) == 2
        assert app.topic("nobody").publish(None, tx=mine) == 0
        mine.rollback()
    assert app.drain() == 4
    assert {id for _, id in got} == {2, 3}


def test_inline_runs_the_apps_own_handlers(app: Penstock, got: list[tuple[str, object]]) -> None:
    orders = app.topic("orders.filled")
    with app.elsewhere(inline=True):
        assert orders.publish({"id": 1}) == 2
        assert asyncio.run(orders.publish_async({"id": 2})) == 2
        with pytest.raises(JobFailed, match="PayloadError"):
            orders.publish("no order")
    assert sorted(got) == [("book", 1), ("book", 2), ("orders.filled", 1), ("orders.filled", 2)]


def test_a_queue_of_a_tests_own_knows_the_subscriptions(
    app: Penstock, got: list[tuple[str, object]], tmp_path: Path
) -> None:
    with app.elsewhere(f"sqlite:///{tmp_path}/other.db"):
        assert app.topic("refunds").publish(1) == 1
        assert app.drain() == 1
    assert got == [("refund", 1)]


def test_what_can_not_be_encoded(app: Penstock) -> None:
    with pytest.raises(TypeError, match=r"orders\.filled: the event can't be encoded"):
        app.topic("orders.filled").publish(object())


@pytest.mark.parametrize("name", ["orders.*", "", "a..b"])
def test_what_is_no_topic(app: Penstock, name: str) -> None:
    with pytest.raises(ConfigError):
        app.topic(name)


def test_it_says_what_it_is(app: Penstock) -> None:
    assert repr(app.topic("orders.filled")) == "<Topic orders.filled>"


def test_a_store_without_topics_says_so(app: Penstock, queue_url: str) -> None:
    from penstock.brokers.base import Feature
    from penstock.brokers.sqlite.broker import SqliteBroker
    from penstock.core.topics import Event, Subscription

    class Lacking(SqliteBroker):
        features = frozenset(Feature) - {Feature.TOPICS}
        subscribe = SqliteBroker.__mro__[1].subscribe
        publish = SqliteBroker.__mro__[1].publish

    lacking = Lacking(queue_url)
    with pytest.raises(MissingFeature, match=r"no topics, which shop\.book need"):
        lacking.subscribe([Subscription("g", "shop.book", "#", "g")])
    with pytest.raises(MissingFeature, match="no topics"):
        lacking.publish([Event(b"", "a", b"")])
    assert isinstance(app.topic("a"), Topic)
