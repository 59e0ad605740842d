"""Messages that the backend takes over: those of limited queues."""

from collections.abc import Callable

import pytest

from penstock.brokers.amqp import taking
from penstock.brokers.amqp.broker import AmqpBroker
from penstock.core.job import Lease, NewJob
from penstock.core.limiter import Limit
from penstock.core.outcome import Outcome
from penstock.errors import StoreUnavailable
from penstock.testing.contract.harness import ALICE, BOB, ids, job, jobs


@pytest.fixture
def store(open_rabbit: Callable[[], AmqpBroker]) -> AmqpBroker:
    return open_rabbit()


def claim(store: AmqpBroker, *queues: str, limit: int = 100) -> list[Lease]:
    return store.exchange((), queues or ["mail"], limit, ALICE).leases


def test_a_limit_holds_for_what_was_sent_before_it(
    store: AmqpBroker, open_rabbit: Callable[[], AmqpBroker], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A priority that is new is looked for now and then; until then the others go on.
    monkeypatch.setattr(taking, "_DISCOVER", 0.0)
    sent, high = jobs(5, queue="mail"), job(queue="mail", priority=9)
    store.enqueue([*sent, high])
    worker = open_rabbit()
    worker.declare({",mail": Limit(concurrency=1)})
    (lease,) = claim(worker)
    assert claim(worker) == []
    store.enqueue(late := jobs(2, queue="mail", priority=8))
    seen = [lease.id]
    while leases := worker.exchange([Outcome(lease)], ["mail"], 100, ALICE).leases:
        (lease,) = leases
        seen.append(lease.id)
    assert seen == ids([high, *late, *sent])


def test_what_is_drawn_twice_is_there_once(store: AmqpBroker, open_rabbit: Callable[[], AmqpBroker]) -> None:
    sent: list[NewJob] = jobs(3, queue="mail")
    store.enqueue(sent)
    # As a worker that was killed between the two would leave it.
    store._keeper.open().enqueue(sent[:2])
    store.declare({",mail": Limit(concurrency=10)})
    assert sorted(ids(claim(store))) == sorted(ids(sent))
    assert claim(open_rabbit()) == []


def test_a_limit_that_is_lifted_lets_messages_be_taken_again(store: AmqpBroker) -> None:
    store.declare({",mail": Limit(concurrency=1)})
    store.enqueue(jobs(2, queue="mail"))
    assert len(claim(store)) == 1
    store.declare({",mail": None})
    store.enqueue(last := jobs(1, queue="mail"))
    rest = [*claim(store), *claim(store)]
    assert len(rest) == 2
    assert {lease.key for lease in rest if lease.id == last[0].id} == {-1}


def test_other_queues_are_served_beside_a_limited_one(store: AmqpBroker) -> None:
    store.declare({",mail": Limit(concurrency=1)})
    store.enqueue([*jobs(3, queue="mail"), *jobs(3, queue="other")])
    leases = [*claim(store, "mail", "other"), *claim(store, "mail", "other")]
    assert sorted(lease.queue for lease in leases) == ["mail", "other", "other", "other"]


def test_where_the_backend_is_away_messages_stay(
    store: AmqpBroker, open_rabbit: Callable[[], AmqpBroker], monkeypatch: pytest.MonkeyPatch
) -> None:
    store.declare({",mail": Limit(concurrency=10)})
    store.enqueue(sent := jobs(3, queue="mail"))

    def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("the backend restarts: try again")

    with monkeypatch.context() as patch:
        patch.setattr(store._keeper.open(), "enqueue", away)
        with pytest.raises(StoreUnavailable, match="restarts"):
            claim(store)
    assert sorted(ids(open_rabbit().exchange((), ["mail"], 10, BOB).leases)) == sorted(ids(sent))
