"""Handlers of events."""

from collections.abc import Callable, Iterator

import pytest

from penstock import Penstock, Subscriber
from penstock.core.topics import Subscription
from penstock.errors import ConfigError


@pytest.fixture
def app(queue_url: str) -> Iterator[Penstock]:
    app = Penstock(queue_url)
    yield app
    app.close()


def handle(event: object) -> None: ...


def test_it_is_a_task_with_subscriptions(app: Penstock) -> None:
    task = app.subscribe(
        "orders.*", "refunds", "orders.*", group="ledger", name="book", priority=7, at_most_once=True, concurrency=2
    )(handle)
    assert isinstance(task, Subscriber)
    terms = {"queue": "ledger", "priority": 7, "gate": "book", "at_most_once": True}
    assert (
        task.subscriptions
        == app.subscriptions
        == [
            Subscription("ledger", "book", "orders.*", **terms),
            Subscription("ledger", "book", "refunds", **terms),
        ]
    )
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


@pytest.mark.parametrize(
    "wrong",
    [
        lambda app: app.subscribe(group="g")(handle),
        lambda app: app.subscribe("orders*", group="g")(handle),
        lambda app: app.subscribe("a", group="")(handle),
        lambda app: app.subscribe("a", group="a,b")(handle),
        lambda app: app.subscribe("a", group="g", unique=True)(handle),
        lambda app: app.subscribe("a", group="g", concurrency=1, limit_key=str)(handle),
        lambda app: app.subscribe("a", group="g")(app.task(handle)),
        lambda app: app.subscribe("a", group="g")(lambda: None),
    ],
    ids=["no pattern", "no word", "no group", "comma", "unique", "key", "a task", "no event"],
)
def test_what_makes_no_sense(app: Penstock, wrong: Callable[[Penstock], object]) -> None:
    with pytest.raises(ConfigError):
        wrong(app)
    assert app.subscriptions == []
