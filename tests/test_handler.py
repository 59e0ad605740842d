"""Handlers of events."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from penstock import BatchTask, Penstock, Task
from penstock.brokers.inspect import Selection
from penstock.core.topics import Subscription
from penstock.errors import ConfigError


@pytest.fixture
def app(queue_url: str) -> Iterator[Penstock]:
    app = Penstock(queue_url)
    yield app
    app.close()


def handle(event: object) -> None: ...


def handle_many(events: list[object]) -> None: ...


def test_it_is_a_task_with_subscriptions(app: Penstock) -> None:
    task = app.subscribe(
        "orders.*", "refunds", "orders.*", group="ledger", name="book", priority=7, at_most_once=True, concurrency=2
    )(handle)
    assert isinstance(task, Task)
    terms = {"queue": "ledger", "priority": 7, "gate": "book", "at_most_once": True}
    assert list(task.subscriptions) == app.subscriptions
    assert app.subscriptions == [
        Subscription("ledger", "book", "orders.*", **terms),
        Subscription("ledger", "book", "refunds", **terms),
    ]
    assert app.queues == ("default", "ledger")
    assert app.limits["book"] is not None


def test_its_queue_may_be_another(app: Penstock) -> None:
    app.subscribe("#", group="ledger", queue="slow")(handle)
    assert [one.queue for one in app.subscriptions] == ["slow"]


def test_it_can_be_called_and_sent_to(app: Penstock) -> None:
    ran: list[int] = []

    @app.subscribe("orders.*", group="ledger", retries=0)
    def book(event: int) -> None:
        ran.append(event)

    book(1)
    book.delay(2)
    book.map([3, 4])
    app.drain()
    assert sorted(ran) == [1, 2, 3, 4]


def test_a_task_may_be_one(app: Penstock) -> None:
    @app.subscribe("a", group="g")
    @app.task(queue="slow", priority=2)
    def first(event: object) -> None: ...

    @app.subscribe("a", group="g")
    @app.task
    def second(event: object) -> None: ...

    assert [(one.queue, one.priority) for one in app.subscriptions] == [("slow", 2), ("g", 5)]
    assert app.queues == ("default", "slow", "g")
    with pytest.raises(ConfigError, match="subscribes already"):
        app.subscribe("b", group="g")(first)


def test_events_of_a_batch_task_share_calls(app: Penstock) -> None:
    calls: list[list[int]] = []

    @app.subscribe("orders.*", group="store")
    @app.batch_task(max_size=100, retries=0)
    def store(orders: list[int]) -> None:
        calls.append(orders)

    assert isinstance(store, BatchTask)
    with app.client.broker() as broker:
        app.register(broker)
    app.topic("orders.filled").publish_many(range(30))
    app.topic("orders.filled").publish("no number")
    store.delay(30)
    assert app.drain() == 32
    assert sorted(number for call in calls for number in call) == list(range(31))
    assert len(calls) < 31
    with app.inspector() as inspector:
        (dead,) = inspector.list(Selection())
    assert dead.failure is not None
    assert dead.failure.kind == "PayloadError"


def test_events_go_into_a_table(app: Penstock, tmp_path: Path) -> None:
    market = f"{tmp_path}/market.db"
    app.subscribe("orders.filled", group="market")(app.sink(f"sqlite:///{market}", table="orders", create=True))
    with app.client.broker() as broker:
        app.register(broker)
    orders = app.topic("orders.filled")
    assert orders.publish_many([{"id": number, "cents": 5} for number in range(50)]) == [1] * 50
    app.drain()
    with closing(sqlite3.connect(market)) as connection:
        assert connection.execute("select count(*), sum(cents) from orders").fetchone() == (50, 250)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda app: app.subscribe(group="g")(handle),
        lambda app: app.subscribe("orders*", group="g")(handle),
        lambda app: app.subscribe("a", group="")(handle),
        lambda app: app.subscribe("a", group="a,b")(handle),
        lambda app: app.subscribe("a", group="g", unique=True)(handle),
        lambda app: app.subscribe("a", group="g", concurrency=1, limit_key=str)(handle),
        lambda app: app.subscribe("a", group="g")(Penstock("sqlite:///other.db").task(handle)),
        lambda app: app.subscribe("a", group="g", retries=1)(app.task(handle)),
        lambda app: app.subscribe("a", group="g")(app.task(unique=True)(handle)),
        lambda app: app.subscribe("a", group="g")(app.batch_task(key="id")(handle_many)),
        lambda app: app.subscribe("a", group="g")(lambda: None),
    ],
    ids=[
        "no pattern",
        "no word",
        "no group",
        "comma",
        "unique",
        "key",
        "another app's",
        "options",
        "unique task",
        "order",
        "no event",
    ],
)
def test_what_makes_no_sense(app: Penstock, wrong: Callable[[Penstock], object]) -> None:
    with pytest.raises(ConfigError):
        wrong(app)
    assert app.subscriptions == []
