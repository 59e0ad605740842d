"""Redis: what is stored one by one, by commands of which a part is packed beforehand."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from redis_servers import ask

from penstock.brokers import connect
from penstock.brokers.redis import single
from penstock.brokers.redis.broker import RedisBroker
from penstock.testing.contract.harness import ALICE, QUEUE, ids, job


@pytest.fixture
def url(request: pytest.FixtureRequest, stores: dict[str, Any], tmp_path: Path) -> str:
    made: str = stores["redis"](request, tmp_path)()
    return made


@pytest.fixture
def store(url: str) -> Iterator[RedisBroker]:
    broker = connect(url)
    assert isinstance(broker, RedisBroker)
    with closing(broker):
        broker.open()
        yield broker


@pytest.mark.parametrize("size", [0, 1, 255, 256, 65_535, 65_536, 1_000_000])
def test_what_is_sent_alone_is_claimed_as_it_was(store: RedisBroker, size: int) -> None:
    for options in (None, b"\x81\x01"):
        sent = job(payload=b"\x00\r\n" * (size // 3) + b"x" * (size % 3), options=options, at_most_once=size % 2 > 0)
        store.enqueue([sent])
        (lease,) = store.exchange((), [QUEUE], 5, ALICE).leases
        assert (lease.id, lease.task, lease.payload, lease.options) == (sent.id, sent.task, sent.payload, sent.options)
        assert (lease.queue, lease.priority, lease.at_most_once) == (sent.queue, sent.priority, sent.at_most_once)
        assert (lease.attempt, lease.items, lease.packed, lease.batch, lease.gate) == (0, 1, False, None, None)


def test_queues_without_end_take_no_memory_without_end(store: RedisBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(single, "_KEPT", 3)
    for number in range(10):
        store.enqueue([job(queue=f"queue{number}")])
        assert len(store._single._kinds) <= 3
    assert [store.depth(f"queue{number}") for number in range(10)] == [1] * 10


def test_a_server_that_has_forgotten_the_script_is_sent_it(url: str, store: RedisBroker) -> None:
    sent = [job(), job()]
    store.enqueue(sent[:1])
    ask(url, "SCRIPT", "FLUSH")
    store.enqueue(sent[1:])
    assert ids(store.exchange((), [QUEUE], 5, ALICE).leases) == ids(sent)
