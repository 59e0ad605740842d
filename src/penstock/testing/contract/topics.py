"""Events: who gets them, once each, whatever happens meanwhile."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from penstock.brokers.base import Broker
from penstock.core.job import Failure
from penstock.core.limiter import Limit
from penstock.core.outcome import Ending
from penstock.core.states import State
from penstock.core.topics import Event, Subscription, job_id
from penstock.errors import PenstockError
from penstock.testing.contract.harness import (
    BOB,
    NOW,
    ContractBase,
    by_record,
    claim,
    end,
    ids,
    jobs,
    new_id,
    record,
    state,
    with_namespace,
)
from penstock.testing.contract.processes import Child, ProcessContract, settled

LEDGER = Subscription("ledger", "app.book", "orders.*", "ledger")
MAIL = Subscription("mail", "app.tell", "orders.filled", "mail")
AUDIT = Subscription("audit", "app.note", "#", "audit")
QUEUES = ("ledger", "mail", "audit")


def event(topic: str = "orders.filled", payload: bytes = b"payload") -> Event:
    """An event with a new id."""
    return Event(new_id(), topic, payload)


def events(count: int) -> list[Event]:
    """Several of one topic."""
    return [event() for _ in range(count)]


def of(sent: list[Event], subscription: Subscription) -> list[bytes]:
    """The ids of the jobs that events become for a subscription."""
    return [job_id(one.id, subscription) for one in sent]


def waiting(store: Broker, queue: str) -> list[bytes]:
    """The ids of the jobs in a queue, all of which are taken."""
    return ids(claim(store, 10_000, queues=[queue]))


class TopicContract(ProcessContract, ContractBase):
    """Each handler that subscribes to an event's topic gets it once."""

    def test_each_group_gets_each_event_once(self, store: Broker) -> None:
        store.subscribe([LEDGER, MAIL, AUDIT])
        sent = [event("orders.filled", b"1"), event("orders.sent", b"2"), event("orders", b"3"), event("a.b.c", b"4")]
        assert store.publish(sent, now=NOW) == [3, 2, 1, 1]
        got = {queue: [lease.payload for lease in claim(store, queues=[queue])] for queue in QUEUES}
        assert got == {"ledger": [b"1", b"2"], "mail": [b"1"], "audit": [b"1", b"2", b"3", b"4"]}

    def test_workers_of_a_group_compete(self, store: Broker, open_store: Callable[..., Broker]) -> None:
        store.subscribe([LEDGER])
        sent = events(10)
        store.publish(sent, now=NOW)
        mine = claim(store, 4, queues=["ledger"])
        others = claim(open_store(), 100, queues=["ledger"], holder=BOB)
        assert sorted(ids(mine) + ids(others)) == sorted(of(sent, LEDGER))
        assert len(mine) == 4

    def test_a_job_has_the_terms_of_its_handler(self, store: Broker) -> None:
        store.subscribe([replace(LEDGER, queue="other", priority=8, at_most_once=True, gate="app.book")])
        sent = event()
        store.publish([sent], now=NOW)
        (lease,) = claim(store, queues=["other"])
        assert (lease.id, lease.task, lease.payload) == (job_id(sent.id, LEDGER), "app.book", b"payload")
        assert (lease.queue, lease.priority, lease.at_most_once, lease.gate) == ("other", 8, True, "app.book")
        assert (lease.attempt, lease.options, lease.batch, lease.packed) == (0, None, None, False)

    def test_limits_hold(self, store: Broker) -> None:
        store.declare({"app.book": Limit(concurrency=1)})
        store.subscribe([replace(LEDGER, gate="app.book")])
        store.publish(events(3), now=NOW)
        assert len(claim(store, queues=["ledger"])) == 1
        assert claim(store, queues=["ledger"]) == []

    def test_two_patterns_of_a_handler_give_it_an_event_once(self, store: Broker) -> None:
        store.subscribe([LEDGER, replace(LEDGER, pattern="#.filled"), replace(LEDGER, pattern="refunds")])
        sent = [event("orders.filled"), event("refunds")]
        assert store.publish(sent, now=NOW) == [1, 1]
        assert waiting(store, "ledger") == of(sent, LEDGER)

    def test_each_handler_of_a_group_gets_an_event(self, store: Broker) -> None:
        other = replace(LEDGER, task="app.count")
        store.subscribe([LEDGER, other])
        sent = events(1)
        assert store.publish(sent, now=NOW) == [1]
        assert sorted(waiting(store, "ledger")) == sorted(of(sent, LEDGER) + of(sent, other))

    def test_what_nobody_subscribes_to_is_dropped(self, store: Broker) -> None:
        assert store.publish([event()], now=NOW) == [0]
        store.subscribe([MAIL])
        assert store.publish([event("orders.sent"), event("x")], now=NOW) == [0, 0]
        assert store.publish([], now=NOW) == []
        assert list(store.inspector().count()) == []

    def test_subscriptions_are_kept(self, store: Broker, open_store: Callable[..., Broker]) -> None:
        assert store.subscriptions() == []
        store.subscribe([MAIL, LEDGER])
        store.subscribe([replace(LEDGER, pattern="#", priority=1, gate="g", at_most_once=True)])
        store.subscribe([])
        store.close()
        terms = {"priority": 1, "gate": "g", "at_most_once": True}
        expected = [replace(LEDGER, pattern="#", **terms), replace(LEDGER, **terms), MAIL]
        assert open_store().subscriptions() == expected

    def test_the_newest_terms_hold_for_all_patterns_of_a_handler(self, store: Broker) -> None:
        store.subscribe([LEDGER, replace(LEDGER, group="audit")])
        store.subscribe([replace(LEDGER, pattern="a", queue="other")])
        store.publish([event()], now=NOW)
        assert (store.depth("other"), store.depth("ledger")) == (1, 1)  # the other group's
        store.subscribe([replace(LEDGER, pattern="a", priority=0)])
        assert {one.priority for one in store.subscriptions() if one.group == "ledger"} == {0}

    def test_who_subscribes_late_starts_at_now(self, store: Broker, open_store: Callable[..., Broker]) -> None:
        store.subscribe([LEDGER])
        publisher = open_store()
        before, after = events(3), events(2)
        assert publisher.publish(before, now=NOW) == [1, 1, 1]
        store.subscribe([MAIL])
        assert publisher.publish(after, now=NOW) == [2, 2]
        assert waiting(store, "mail") == of(after, MAIL)
        assert waiting(store, "ledger") == of(before + after, LEDGER)

    def test_an_unsubscribe_drains(self, store: Broker, open_store: Callable[..., Broker]) -> None:
        store.subscribe([LEDGER, MAIL, replace(MAIL, pattern="x")])
        publisher = open_store()
        before = events(2)
        publisher.publish(before, now=NOW)
        (running, *_) = claim(store, 1, queues=["mail"])
        assert store.unsubscribe([MAIL, AUDIT, replace(LEDGER, pattern="other")]) == 1
        assert store.unsubscribe([MAIL]) == store.unsubscribe([]) == 0
        assert publisher.publish([event(), event("x")], now=NOW) == [1, 1]
        end(store, running, Ending.RETRY, failure=Failure("E", "m"))
        assert sorted(waiting(store, "mail"))[:2] == sorted(of(before, MAIL))
        assert store.subscriptions() == [LEDGER, replace(MAIL, pattern="x")]

    @by_record
    def test_an_event_published_again_is_stored_once(self, store: Broker) -> None:
        store.subscribe([LEDGER])
        sent = events(2)
        assert store.publish(sent, now=NOW) == store.publish([*sent, sent[0]], now=NOW)[:2] == [1, 1]
        store.subscribe([MAIL])
        assert store.publish(sent, now=NOW) == [2, 2]
        assert waiting(store, "ledger") == of(sent, LEDGER)
        assert waiting(store, "mail") == of(sent, MAIL)

    @pytest.mark.parametrize("wrong", [None], ids=["no event"])
    def test_one_bad_event_keeps_all_out(self, store: Broker, wrong: Event) -> None:
        store.subscribe([LEDGER, MAIL])
        with pytest.raises((PenstockError, TypeError, AttributeError, ValueError)):
            store.publish([event(), wrong, event()], now=NOW)
        assert (store.depth("ledger"), store.depth("mail")) == (0, 0)

    @pytest.mark.parametrize("text", ["почта/📦", "quote'\"\\%_", "{}[]:,", "a b"])
    def test_a_topic_may_have_any_name(self, store: Broker, text: str) -> None:
        odd = Subscription(text, text, f"{text}.*", text)
        store.subscribe([odd])
        assert store.subscriptions() == [odd]
        sent = [event(f"{text}.x")]
        assert store.publish([*sent, event("x")], now=NOW) == [1, 0]
        assert waiting(store, text) == of(sent, odd)
        assert store.unsubscribe([odd]) == 1

    @by_record
    def test_an_events_job_ends_like_any_other(self, store: Broker) -> None:
        store.subscribe([LEDGER])
        sent = events(3)
        store.publish(sent, now=NOW)
        dead, parked, done = claim(store, queues=["ledger"])
        end(store, dead, Ending.DEAD, failure=Failure("E", "m"))
        end(store, parked, Ending.PARKED)
        end(store, done)
        assert [state(store, id) for id in of(sent, LEDGER)] == [State.DEAD, State.PARKED, State.DONE]
        assert record(store, dead.id).task == "app.book"
        assert store.unpark(["app.book"]) == 1
        assert waiting(store, "ledger") == [parked.id]

    def test_a_thousand_events_to_three_groups(self, store: Broker) -> None:
        store.subscribe([LEDGER, MAIL, AUDIT])
        sent = events(1000)
        assert store.publish(sent, now=NOW) == [3] * 1000
        for one in (LEDGER, MAIL, AUDIT):
            assert waiting(store, one.queue) == of(sent, one)

    def test_namespaces_have_subscriptions_of_their_own(
        self, url: str, store: Broker, open_store: Callable[..., Broker]
    ) -> None:
        shop = open_store(with_namespace(url, "shop"))
        shop.subscribe([LEDGER])
        assert store.subscriptions() == []
        assert store.publish(events(1), now=NOW) == [0]
        assert store.unsubscribe([LEDGER]) == 0
        assert shop.publish(events(1), now=NOW) == [1]
        assert (store.depth("ledger"), shop.depth("ledger")) == (0, 1)

    def test_many_workers_subscribe_at_once(self, store: Broker, open_store: Callable[..., Broker]) -> None:
        stores = [open_store() for _ in range(6)]
        wanted = [replace(one, priority=number) for number, one in enumerate((AUDIT, LEDGER, MAIL))]
        begun = threading.Barrier(len(stores))
        failed: list[Exception] = []

        def start(one: Broker, order: int) -> None:
            begun.wait()
            try:
                for _ in range(10):
                    one.subscribe(wanted[::order])
                    one.unsubscribe([wanted[0]])
            except Exception as error:  # noqa: BLE001
                failed.append(error)

        threads = [threading.Thread(target=start, args=(one, 1 - 2 * (n % 2))) for n, one in enumerate(stores)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert store.subscriptions() == wanted[1:]

    def test_who_subscribes_meanwhile_misses_nothing_that_comes_after(
        self, store: Broker, open_store: Callable[..., Broker]
    ) -> None:
        store.subscribe([LEDGER])
        publishers = [open_store() for _ in range(2)]
        sent: list[list[Event]] = [[], []]
        begun, subscribed = threading.Barrier(3), threading.Event()
        counted_at: list[int] = [0, 0]

        def publish(number: int) -> None:
            begun.wait()
            for _ in range(60):
                few = events(3)
                if not subscribed.is_set():
                    counted_at[number] = len(sent[number]) + 3
                publishers[number].publish(few)
                sent[number] += few

        threads = [threading.Thread(target=publish, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        begun.wait()
        store.subscribe([MAIL])
        subscribed.set()
        for thread in threads:
            thread.join()
        mail, ledger = set(waiting(store, "mail")), set(waiting(store, "ledger"))
        for number in range(2):
            assert ledger >= set(of(sent[number], LEDGER))
            expected = of(sent[number], MAIL)
            got = [id in mail for id in expected]
            assert got == sorted(got)  # nothing, and from then on everything
            assert all(got[counted_at[number] :])
        assert len(ledger) == 360

    def test_killed_publishers_leave_whole_events(self, url: str, store: Broker, start: Callable[..., Child]) -> None:
        chance = random.Random(4)
        store.subscribe([LEDGER, MAIL, AUDIT])
        for _ in range(2):
            child = start("publish", url, 20, 10_000)
            child.wait_until_ready()
            child.go()
            for _ in range(chance.randrange(1, 10)):
                child.line()
            child.kill()
            depths = settled(lambda: {store.depth(queue) for queue in QUEUES})
            assert len(depths) == 1
            assert depths.pop() % 20 == 0

    def test_publishing_wakes_who_waits(self, url: str, store: Broker, start: Callable[..., Child]) -> None:
        child = start("listen", url)
        child.wait_until_ready()
        child.go()
        store.subscribe([LEDGER])
        store.publish([event()])
        assert child.line() == "woken"

    def test_a_queue_may_have_jobs_of_both_kinds(self, store: Broker) -> None:
        store.subscribe([LEDGER])
        (plain,) = jobs(1, queue="ledger")
        sent = events(1)
        store.enqueue([plain], now=NOW)
        store.publish(sent, now=NOW)
        assert waiting(store, "ledger") == [plain.id, *of(sent, LEDGER)]
