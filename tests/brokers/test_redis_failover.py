"""Redis on several servers: what becomes of a queue when one of them dies, or when a cluster moves its keys."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest
from redis_servers import Cluster, ask, wait_for

from penstock.brokers.listener import Waking
from penstock.brokers.redis.broker import RedisBroker
from penstock.core.outcome import Outcome
from penstock.errors import StoreUnavailable
from penstock.testing.contract.harness import ALICE, NOW, PATIENCE, QUEUE, claim, hand_in, ids, jobs


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with ExitStack() as stack:
        yield Cluster(stack)


@pytest.fixture
def store(cluster: Cluster) -> Iterator[RedisBroker]:
    with closing(RedisBroker(cluster.url)) as broker:
        broker.open()
        yield broker


def test_while_a_cluster_moves_the_keys_nothing_is_done_and_then_all_goes_on(
    cluster: Cluster, store: RedisBroker
) -> None:
    sent, more = jobs(10), jobs(2)
    store.enqueue(sent, now=NOW)
    endings = [Outcome(lease) for lease in claim(store, 4)]
    cluster.begin_to_move()
    for some in (0, 3, 1000):
        cluster.move_keys(some)
        with pytest.raises(StoreUnavailable, match="cluster is moving"):
            store.enqueue(more[:1], now=NOW)
        with pytest.raises(StoreUnavailable, match="cluster is moving"):
            store.enqueue(more, now=NOW)
        with pytest.raises(StoreUnavailable, match="cluster is moving"):
            store.exchange(endings, [QUEUE], 10, ALICE, now=NOW)
    cluster.end_move()
    assert hand_in(store, *endings) == []
    store.enqueue(more, now=NOW)
    assert ids(claim(store)) == ids([*sent[4:], *more])


def test_when_a_master_of_a_cluster_dies_its_replica_goes_on(cluster: Cluster, store: RedisBroker) -> None:
    store.enqueue(jobs(10), now=NOW)
    endings, woken = [Outcome(lease) for lease in claim(store, 4)], threading.Event()
    wait_for(lambda: cluster.owner.is_copied_to(cluster.replica))
    with store.listen(Waking(woken.set)):
        cluster.owner.kill()
        woken.clear()
        wait_for(lambda: hand_in(store, *endings) in ([], endings))
        # It connects again by itself, and takes it that it missed something.
        assert woken.wait(PATIENCE)
    assert len(claim(store)) == 6
    assert ask(cluster.replica.url(), "ROLE")[0] == b"master"
