"""Wake-ups."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from penstock.brokers.base import Broker, WorkerInfo
from penstock.brokers.listener import Waking
from penstock.brokers.timetable import Timetable
from penstock.core.outcome import Ending, Outcome
from penstock.core.schedule import Schedule
from penstock.testing.contract.harness import (
    ALICE,
    NOW,
    PATIENCE,
    QUEUE,
    ContractBase,
    Told,
    by_record,
    claim_one,
    hand_in,
    job,
    jobs,
)
from penstock.testing.contract.processes import Child, ProcessContract


@contextmanager
def listening(store: Broker, wake: Callable[[], None]) -> Iterator[None]:
    """Listen as a worker does: under a name that is on the list."""
    with store.listen(Waking(wake)):
        store.heartbeat(WorkerInfo("listener", "host", 1, "threads", 1, (QUEUE,), NOW))
        yield


class ListenContract(ProcessContract, ContractBase):
    """A listener is woken by work that arrives, from whatever process, and holds nobody up."""

    def test_another_connection_wakes(self, store: Broker, open_store: Callable[..., Broker]) -> None:
        woken = threading.Event()
        sender = open_store()
        with listening(store, woken.set):
            for _ in range(5):
                sender.enqueue([job()])
                assert woken.wait(PATIENCE)
                woken.clear()

    @by_record
    def test_what_is_not_simply_ready_is_told_from_what_is(
        self, store: Broker, open_store: Callable[..., Broker]
    ) -> None:
        told = Told()
        sender = open_store()
        with store.listen(told):
            store.heartbeat(WorkerInfo("listener", "host", 1, "threads", 1, (QUEUE,), NOW))
            sender.enqueue([job(), job(delay=3600)])
            assert told.next() == "wake"
        with store.listen(told):
            store.heartbeat(WorkerInfo("listener", "host", 1, "threads", 1, (QUEUE,), NOW))
            Timetable(sender.schedules()).add(Schedule("soon", "app.task", b"\x90", every=3600))
            assert told.next() == "wake"

    def test_another_process_wakes(self, url: str, store: Broker, start: Callable[..., Child]) -> None:
        woken = threading.Event()
        child = start("enqueue", url, 1, 1)
        child.wait_until_ready()
        with listening(store, woken.set):
            child.go()
            assert woken.wait(PATIENCE)
        assert child.finish() == ["in"]
        assert store.depth(QUEUE) == 1

    def test_every_listener_hears(self, url: str, store: Broker, start: Callable[..., Child]) -> None:
        children = [start("listen", url) for _ in range(2)]
        for child in children:
            child.wait_until_ready()
            child.go()
        store.enqueue([job()])
        assert [child.line() for child in children] == ["woken"] * 2

    def test_a_follow_up_wakes(self, store: Broker, open_store: Callable[..., Broker]) -> None:
        worker = open_store()
        worker.enqueue(jobs(1), now=NOW)
        lease = claim_one(worker)
        woken = threading.Event()
        with listening(store, woken.set):
            assert hand_in(worker, Outcome(lease, Ending.DONE, follow_ups=(job(),))) == []
            assert woken.wait(PATIENCE)

    @by_record
    def test_what_becomes_ready_again_wakes(self, store: Broker, open_store: Callable[..., Broker]) -> None:
        worker = open_store()
        worker.enqueue([job()], now=NOW)
        worker.enqueue([job(run_at=NOW + 60)], now=NOW)
        woken = threading.Event()
        lease = claim_one(worker)
        with listening(store, woken.set):
            assert hand_in(worker, Outcome(lease, Ending.RELEASED)) == []
            assert woken.wait(PATIENCE)
            woken.clear()
            claim_one(worker)
            assert worker.abandon(ALICE) == 1
            assert woken.wait(PATIENCE)
            woken.clear()
            worker.promote(now=NOW + 60)
            assert woken.wait(PATIENCE)

    def test_a_listener_that_is_busy_holds_nobody_up(self, store: Broker, open_store: Callable[..., Broker]) -> None:
        sender, entered, free = open_store(), threading.Event(), threading.Event()

        def wake() -> None:
            entered.set()
            free.wait(PATIENCE)

        with listening(store, wake):
            sender.enqueue([job()])
            assert entered.wait(PATIENCE)
            for _ in range(300):
                sender.enqueue([job()])
            free.set()
        assert sender.depth(QUEUE) == 301

    def test_the_broker_can_be_used_while_it_listens(self, store: Broker) -> None:
        woken = threading.Event()
        with listening(store, woken.set):
            store.enqueue(jobs(3), now=NOW)
            taken = store.exchange((), [QUEUE], 1, ALICE, now=NOW).leases
            assert len(taken) == 1

    def test_listening_again_after_it_ended(self, store: Broker, open_store: Callable[..., Broker]) -> None:
        sender = open_store()
        for _ in range(3):
            woken = threading.Event()
            with listening(store, woken.set):
                sender.enqueue([job()])
                assert woken.wait(PATIENCE)

    def test_a_killed_listener_is_in_nobodys_way(self, url: str, store: Broker, start: Callable[..., Child]) -> None:
        killed = start("listen", url)
        killed.wait_until_ready()
        killed.go()
        store.enqueue([job()])
        assert killed.line() == "woken"
        killed.kill()
        woken = threading.Event()
        with listening(store, woken.set):
            sender = start("enqueue", url, 1, 20)
            sender.wait_until_ready()
            sender.go()
            assert woken.wait(PATIENCE)
        assert sender.finish() == ["in"] * 20
        assert store.depth(QUEUE) == 21
