"""Messages that are cancelled and deleted while they wait."""

from collections.abc import Callable

import pytest

from penstock import Penstock
from penstock.brokers.amqp.broker import AmqpBroker
from penstock.brokers.inspect import Selection
from penstock.core.outcome import Outcome
from penstock.core.states import State
from penstock.errors import MissingFeature, StoreUnavailable
from penstock.testing.contract.harness import ALICE, ids, job, jobs


@pytest.fixture
def store(open_rabbit: Callable[[], AmqpBroker]) -> AmqpBroker:
    return open_rabbit()


def claim(store: AmqpBroker, *queues: str) -> list[bytes]:
    return ids(store.exchange((), queues or ["default"], 100, ALICE).leases)


def test_one_of_many_is_cancelled_and_the_others_keep_their_order(
    store: AmqpBroker, open_rabbit: Callable[[], AmqpBroker]
) -> None:
    sent = jobs(50)
    store.enqueue(sent)
    (chosen,) = sent[20:21]
    # By a connection that has never heard of the queue.
    assert open_rabbit().inspector().cancel(Selection(ids=(chosen.id,))) == 1
    record = store.inspector().get(chosen.id)
    assert record is not None
    assert record.state is State.CANCELLED
    assert claim(store) == [one.id for one in sent if one is not chosen]
    assert store.inspector().retry(Selection(ids=(chosen.id,))) == 1
    assert claim(store) == [chosen.id]


def test_a_delayed_message_is_cancelled(store: AmqpBroker) -> None:
    sent = [job(delay=600.0 + number) for number in range(5)]
    store.enqueue(sent)
    assert store.inspector().cancel(Selection(ids=tuple(ids(sent[1:3])))) == 2
    assert store.inspector().cancel(Selection(state=State.DELAYED)) == 3
    assert {one.state for one in store.inspector().list(Selection())} == {State.CANCELLED}


def test_those_of_a_task_or_queue_are_deleted(store: AmqpBroker) -> None:
    mine, others = jobs(6, task="app.mine"), jobs(6)
    store.enqueue([one for pair in zip(mine, others, strict=True) for one in pair])
    store.enqueue([job(queue="b", task="app.mine"), job(queue="b", priority=9, task="app.mine", unique="k")])
    assert store.inspector().delete(Selection(task="app.mine", queue="default")) == 6
    assert store.inspector().delete(Selection(queue="b")) == 2
    assert store.inspector().delete(Selection(queue="b")) == 0
    assert claim(store) == ids(others)


def test_a_purge_takes_what_is_delayed_and_leaves_other_queues(store: AmqpBroker) -> None:
    late = job(queue="other", delay=600.0)
    store.enqueue([job(queue="mail"), *jobs(5, queue="mail", delay=600.0), *jobs(3, queue="mail", delay=1000.0), late])
    assert store.purge("mail") == 9
    assert store.purge("mail") == 0
    assert store.purge("other") == 1


def test_of_what_the_backend_has_no_message_is_looked_for(store: AmqpBroker) -> None:
    store.enqueue([kept := job(unique="k"), *jobs(3)])
    assert store.inspector().cancel(Selection(ids=(kept.id,))) == 1
    assert store.inspector().delete(Selection(state=State.DEAD)) == 0
    assert store.depth("default") == 3


def test_where_the_backend_is_away_all_messages_stay(store: AmqpBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    store.enqueue(sent := jobs(5))

    def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("the backend restarts: try again")

    with monkeypatch.context() as patch:
        patch.setattr(store._keeper, "take_over", away)
        with pytest.raises(StoreUnavailable, match="restarts"):
            store.inspector().cancel(Selection(ids=(sent[2].id,)))
    assert claim(store) == ids(sent)


def test_a_job_that_waits_is_cancelled_and_one_that_runs_can_not_be(store: AmqpBroker, rabbit_url: str) -> None:
    app = Penstock(rabbit_url)

    @app.task
    def double(number: int) -> int:
        return 2 * number

    waits, runs = double.delay(1), double.delay(2)
    assert waits.cancel()
    assert not waits.cancel()
    (lease,) = store.exchange((), ["default"], 10, ALICE).leases
    assert lease.id == runs.key
    with pytest.raises(MissingFeature, match="give its task unique=True"):
        runs.cancel()
    store.exchange([Outcome(lease, result=b"4", result_ttl=60.0)], (), 0, ALICE)
    assert not runs.cancel()
    app.close()
