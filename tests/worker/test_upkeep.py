"""What one thread does for a whole worker."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from penstock.brokers import connect
from penstock.brokers.base import Broker, WorkerInfo
from penstock.brokers.inspect import RunningJob
from penstock.client import new_ids
from penstock.core.job import Holder, Lease, NewJob
from penstock.core.outcome import Ending, Outcome
from penstock.events.emit import Emitter, Event, Rescued, StoreTrouble
from penstock.worker.upkeep import Upkeep

SECONDS = 10
INFO = WorkerInfo("worker", "host", 1, "prefork", 2, ("default",), 0.0)


class Setup:
    def __init__(self, url: str) -> None:
        self.broker: Broker = connect(url)
        self.broker.open()
        self.rang = threading.Event()
        self.rescued = threading.Event()
        self.events: list[Event] = []
        emitter = Emitter()
        emitter.subscribe(Event, self.events.append)
        emitter.subscribe(Rescued, lambda event: self.rescued.set())
        running = [RunningJob(b"r" * 16, 1.0, 1.0, 2.0)]
        self.upkeep = Upkeep(url, INFO, ["app.task"], lambda: running, self.rang.set, emitter)

    def enqueue(self, run_at: float | None = None) -> bytes:
        return self.broker.enqueue([NewJob(new_ids(1)[0], "app.task", b"\x90", run_at=run_at)])[0]

    def claim(self, holder: Holder) -> Lease:
        (lease,) = self.broker.exchange((), ("default",), 1, holder).leases
        return lease

    def wait_until_ready(self) -> None:
        pause = threading.Event()
        for _ in range(SECONDS * 100):
            if self.broker.depth("default"):
                return
            pause.wait(0.01)
        raise AssertionError("nothing became ready")


@pytest.fixture
def setup(queue_url: str) -> Iterator[Setup]:
    setup = Setup(queue_url)
    yield setup
    setup.broker.close()


def test_the_worker_is_on_the_list_from_start_to_stop(setup: Setup) -> None:
    setup.upkeep.start()
    (worker,) = setup.broker.inspector().workers()
    assert (worker.id, worker.slots) == ("worker", 2)
    setup.upkeep.stop()
    assert list(setup.broker.inspector().workers()) == []
    assert setup.events == []


def test_new_jobs_ring(setup: Setup) -> None:
    setup.upkeep.start()
    setup.enqueue()
    assert setup.rang.wait(SECONDS)
    setup.upkeep.stop()


def test_what_a_dead_process_held_goes_back_and_what_it_ran_counts_a_crash(setup: Setup) -> None:
    setup.upkeep.start()
    crashed, unharmed = setup.enqueue(), setup.enqueue()
    holder = Holder("worker", 7)
    leases = setup.broker.exchange((), ("default",), 2, holder).leases
    assert [lease.id for lease in leases] == [crashed, unharmed]
    setup.upkeep.abandon(holder, [crashed])
    setup.wait_until_ready()
    again = setup.broker.exchange((), ("default",), 2, Holder("other")).leases
    assert {lease.id: (lease.crashes, lease.attempt) for lease in again} == {crashed: (1, 0), unharmed: (0, 0)}
    setup.upkeep.stop()


def test_what_its_processes_still_hold_goes_back_at_the_end(setup: Setup) -> None:
    setup.upkeep.start()
    setup.enqueue()
    setup.claim(Holder("worker", 1))
    setup.upkeep.stop()
    assert setup.broker.depth("default") == 1


def test_jobs_of_workers_that_are_dead_go_back(setup: Setup) -> None:
    setup.enqueue()
    setup.broker.heartbeat(WorkerInfo("dead", "host", 2, "prefork", 1, ("default",), 0.0), now=-1000.0)
    lease = setup.claim(Holder("dead", 1))
    setup.broker.heartbeat(WorkerInfo("dead", "host", 2, "prefork", 1, ("default",), 0.0), now=-1000.0)
    setup.upkeep.start()
    assert setup.rescued.wait(SECONDS)
    assert setup.claim(Holder("other")).id == lease.id
    setup.upkeep.stop()


def test_due_and_parked_jobs_become_ready(setup: Setup) -> None:
    setup.enqueue()
    lease = setup.claim(Holder("other"))
    setup.broker.exchange([Outcome(lease, Ending.PARKED)], (), 0, Holder("other"))
    setup.enqueue(run_at=1.0)
    setup.upkeep.start()
    setup.wait_until_ready()
    pause = threading.Event()
    while setup.broker.depth("default") < 2:
        pause.wait(0.01)
    setup.upkeep.stop()


def test_a_worker_that_can_not_beat_judges_nobody(setup: Setup, queue_file: Path) -> None:
    setup.enqueue()
    setup.claim(Holder("other", 1))
    setup.broker.heartbeat(WorkerInfo("other", "host", 2, "prefork", 1, ("default",), 0.0), now=-1000.0)
    with closing(sqlite3.connect(queue_file)) as connection:
        connection.execute(
            "create trigger refuse before insert on penstock_worker begin select raise(fail, 'the disk is full'); end"
        )
    setup.upkeep.start()
    assert not setup.rescued.wait(1.0)
    setup.upkeep.stop()
    assert [type(event) for event in setup.events] == [StoreTrouble]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_one_that_breaks_is_noticed(queue_url: str) -> None:
    def broken() -> list[RunningJob]:
        raise LookupError("a bug")

    upkeep = Upkeep(queue_url, INFO, [], broken, lambda: None, Emitter())
    upkeep.start()
    assert upkeep.ended
    upkeep.stop()
