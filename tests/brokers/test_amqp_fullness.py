"""A RabbitMQ that takes no messages, for want of disk: it says so, and what waits there is run all the same.

Two calls of rabbitmqctl take two seconds, so it is one test.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

from penstock.brokers.amqp.broker import AmqpBroker
from penstock.core.job import Failure, Lease
from penstock.core.outcome import Ending, Outcome
from penstock.errors import StoreFull
from penstock.testing.contract.harness import ALICE, BOB, ids, job, jobs
from penstock.testing.servers import RabbitServer

PATIENCE = 30.0


@pytest.fixture
def stores(rabbit_server: RabbitServer, tmp_path: Path) -> Iterator[tuple[AmqpBroker, ...]]:
    """A producer, a worker that has seen the queue, and one that has not; none of them waits for long for an alarm to pass."""
    url = f"{rabbit_server.url()}?namespace=full{time.monotonic_ns()}&backend=sqlite:///{tmp_path}/backend.db"
    with ExitStack() as stack:
        found = tuple(stack.enter_context(closing(AmqpBroker(url))) for _ in range(3))
        for each in found:
            each.open()
            each._link._patience = 0.2
        yield found


def test_a_full_server_refuses_jobs_and_lets_those_run_that_it_has(
    rabbit_server: RabbitServer, stores: tuple[AmqpBroker, ...]
) -> None:
    producer, worker, late = stores
    sent = jobs(12)
    producer.enqueue(sent)
    (first,) = worker.exchange((), ["default"], 1, ALICE).leases
    assert worker.exchange([Outcome(first)], (), 0, ALICE).stale == []
    rabbit_server.control("set_disk_free_limit", "1000000GB")
    try:
        with suppress(StoreFull):
            # The first that a connection publishes may still be taken.
            producer.enqueue([job(queue="other")])
        with pytest.raises(StoreFull, match="for want of memory or disk"):
            producer.enqueue([job()])
        for each in (worker, late):
            # It looks for queues that are new, which takes a message; from then on it sends none.
            each._taking._discover_at = 0.0
            with pytest.raises(StoreFull, match="for want of memory or disk"):
                each.exchange((), ["default"], 3, ALICE)
        assert drained(worker, late) >= set(ids(sent[1:]))
    finally:
        rabbit_server.control("set_disk_free_limit", "50MB")
    deadline, after = time.monotonic() + PATIENCE, job(queue="mail", priority=1)
    for each in (producer, worker):
        while each._fullness.is_full():
            assert time.monotonic() < deadline
            each._fullness._try_at = 0.0
    producer.enqueue([after])
    # What could not be asked for meanwhile is known again.
    assert ids(worker.exchange((), ["mail"], 2, ALICE).leases) == [after.id]


def drained(worker: AmqpBroker, late: AmqpBroker) -> set[bytes]:
    """Have both run all there is, and every job once more after it has failed; returns what has ended."""
    ended: set[bytes] = set()
    failed: set[bytes] = set()
    outcomes: dict[AmqpBroker, list[Outcome]] = {worker: [], late: []}
    deadline = time.monotonic() + PATIENCE
    while len(ended) < 11 or any(outcomes.values()):
        assert time.monotonic() < deadline, f"{len(ended)} ended"
        for each, holder in ((worker, ALICE), (late, BOB)):
            exchange = each.exchange(outcomes[each], ["default"], 3, holder)
            assert exchange.stale == []
            ended |= {one.lease.id for one in outcomes[each] if one.ending is Ending.DONE}
            outcomes[each] = [Outcome(one) if one.id in failed else failing(one) for one in exchange.leases]
            failed |= set(ids(exchange.leases))
    return ended


def failing(lease: Lease) -> Outcome:
    return Outcome(lease, Ending.RETRY, failure=Failure("E", "m"))
