"""Redis: a process with nothing to do has its next claim made by the server, when there is a job."""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import redis
from redis_servers import ask

from penstock.brokers.listener import Waking
from penstock.brokers.redis.broker import RedisBroker
from penstock.core.job import Lease
from penstock.core.outcome import Ending, Outcome
from penstock.errors import StoreUnavailable
from penstock.testing.contract.harness import ALICE, BOB, PATIENCE, QUEUE, ids, job, jobs
from penstock.testing.servers import RedisServer


@pytest.fixture
def url(redis_url: str) -> str:
    return redis_url


@pytest.fixture
def store(url: str, opened: Callable[[str], RedisBroker]) -> RedisBroker:
    return opened(url)


@pytest.fixture
def sender(url: str, opened: Callable[[str], RedisBroker]) -> RedisBroker:
    return opened(url)


def standing(url: str) -> list[bytes]:
    """The processes that stand by, as the server knows them."""
    tag = "{" + url.partition("?namespace=")[2] + "}:"
    found: list[bytes] = ask(url, "HKEYS", f"{tag}standby")
    return found


def until_standing(url: str, count: int) -> None:
    """Wait until so many do."""
    assert any(len(standing(url)) == count for _ in range(100_000))


def idle(broker: RedisBroker, holder: Any = ALICE) -> threading.Event:
    """Look for work, find none, and stand by; the event is set when there is something to take."""
    woken = threading.Event()
    assert take(broker, holder) == []
    assert broker.standby([QUEUE], woken.set)
    return woken


def take(broker: RedisBroker, holder: Any = ALICE, limit: int = 5) -> list[Lease]:
    return list(broker.exchange((), [QUEUE], limit, holder).leases)


def test_who_stands_by_is_sent_the_next_job(url: str, store: RedisBroker, sender: RedisBroker) -> None:
    for _ in range(3):
        woken, sent = idle(store), job()
        until_standing(url, 1)
        sender.enqueue([sent])
        assert woken.wait(PATIENCE)
        # The claim is made already, and counts as any other.
        assert sender.depth(QUEUE) == 0
        (lease,) = take(store)
        assert lease.id == sent.id
        assert not store.standby([QUEUE], woken.set)
        assert store.exchange([Outcome(lease, Ending.DONE)], [QUEUE], 0, ALICE).stale == []
    assert standing(url) == []


def test_what_came_between_the_look_and_standing_by_is_not_missed(store: RedisBroker, sender: RedisBroker) -> None:
    assert take(store) == []
    sent, woken = job(), threading.Event()
    sender.enqueue([sent])
    assert store.standby([QUEUE], woken.set)
    assert woken.wait(PATIENCE)
    assert ids(take(store)) == [sent.id]


def test_of_several_that_stand_by_one_is_rung_for_a_job_of_its_queue(
    url: str, store: RedisBroker, sender: RedisBroker, opened: Callable[[str], RedisBroker]
) -> None:
    other = opened(url)
    woken = [idle(store), idle(other, BOB)]
    until_standing(url, 2)
    sent = job()
    sender.enqueue([job(queue="others")])
    assert len(standing(url)) == 2
    sender.enqueue([sent])
    assert any(each.wait(0.01) for _ in range(2000) for each in woken)
    assert len(standing(url)) == 1
    assert ids([*take(store), *take(other, BOB)]) == [sent.id]


def test_who_has_work_by_then_gives_back_what_is_sent(url: str, store: RedisBroker, sender: RedisBroker) -> None:
    idle(store)
    until_standing(url, 1)
    # Many at once are for the listeners of workers, and the process looks for itself.
    sender.enqueue(jobs(2))
    assert len(take(store, limit=2)) == 2
    sent = job()
    sender.enqueue([sent])
    assert any(ids(take(sender, BOB)) == [sent.id] for _ in range(10_000))


def test_a_dead_process_is_in_nobodys_way(url: str, store: RedisBroker, sender: RedisBroker) -> None:
    idle(store)
    until_standing(url, 1)
    sender.abandon(ALICE)
    assert standing(url) == []
    woken = threading.Event()
    with sender.listen(Waking(woken.set)):
        sender.enqueue([job()])
        assert woken.wait(PATIENCE)


def test_who_closes_is_not_rung_for_any_more(url: str, store: RedisBroker) -> None:
    idle(store)
    until_standing(url, 1)
    store.close()
    assert standing(url) == []


def test_a_cut_connection_loses_nothing(opened: Callable[[str], RedisBroker]) -> None:
    with RedisServer() as server:
        store = opened(server.url())
        idle(store)
        until_standing(f"{server.url()}?namespace=penstock", 1)
        with redis.Redis.from_url(server.url()) as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        sent, sender = job(), opened(server.url())
        # It rings for one that hears nothing any more; every process looks now and then.
        sender.enqueue([sent])
        found: list[bytes] = []
        for _ in range(10_000):
            with suppress(StoreUnavailable):
                found += ids(take(store))
            if found:
                break
        assert found == [sent.id]


def test_a_claim_whose_answer_was_lost_is_made_again(
    url: str, store: RedisBroker, sender: RedisBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    link, lost = store._standby._link, threading.Event()
    behind = link.behind

    def cut(*arguments: Any, **others: Any) -> Any:
        behind(*arguments, **others)
        lost.set()
        raise StoreUnavailable("cut")

    monkeypatch.setattr(link, "behind", cut)
    idle(store)
    until_standing(url, 1)
    sent = job()
    sender.enqueue([sent])
    assert lost.wait(PATIENCE)
    assert any(ids(take(store)) == [sent.id] for _ in range(10_000))


def test_what_was_sent_is_kept_where_the_exchange_fails_that_would_take_it(
    url: str, store: RedisBroker, sender: RedisBroker
) -> None:
    sender.enqueue([job()])
    (first,) = take(store)
    assert store.exchange([Outcome(first, Ending.DONE)], [QUEUE], 1, ALICE).leases == []
    woken = idle(store)
    until_standing(url, 1)
    sent = job()
    sender.enqueue([sent])
    assert woken.wait(PATIENCE)
    unfit: Any = "no time"
    with pytest.raises(ValueError, match="no time"):
        store.exchange([Outcome(first, Ending.DONE)], [QUEUE], 5, ALICE, now=unfit)
    assert ids(take(store)) == [sent.id]
