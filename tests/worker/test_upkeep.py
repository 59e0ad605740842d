"""What one thread does for a whole worker."""

import itertools
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from penstock.brokers import connect
from penstock.brokers.base import Broker, WorkerInfo
from penstock.brokers.inspect import RunningJob, Selection
from penstock.brokers.schedules import ABSENT, Change, Row
from penstock.brokers.sqlite.broker import SqliteBroker
from penstock.brokers.timetable import Timetable
from penstock.client import new_ids
from penstock.core.canary import queue_of
from penstock.core.decide import Terms
from penstock.core.job import Holder, Lease, NewJob
from penstock.core.outcome import Ending, Outcome
from penstock.core.schedule import Schedule
from penstock.core.verdict import Death, Excess, Run
from penstock.errors import StoreError, StoreFull
from penstock.events.emit import (
    Emitter,
    Event,
    JobEnded,
    ListenerDeaf,
    Rescued,
    ScheduleTrouble,
    StoreBack,
    StoreTrouble,
)
from penstock.testing.servers import RedisServer
from penstock.testing.servers.process import LOOPBACK
from penstock.worker import hearing as hearing_module
from penstock.worker import upkeep as upkeep_module
from penstock.worker.upkeep import BEAT, DEAD_AFTER, Upkeep

SECONDS = 10
_numbers = itertools.count(1)
RUNNING = (RunningJob(b"r" * 16, 1.0, 1.0, 2.0),)
WORKER = "ab12"
INFO = WorkerInfo(WORKER, "host", 1, "prefork", 2, ("default",), 0.0, RUNNING)
TERMS = {"app.task": Terms(timeout=3.0, kill_after=1.5)}


def other(name: str) -> WorkerInfo:
    """What another worker says of itself."""
    return WorkerInfo(name, "host", 2, "prefork", 1, ("default",), 0.0)


class Spokesman:
    """The worker, for its upkeep."""

    worker = "ab12"

    def __init__(self) -> None:
        self.rang = threading.Event()
        self.beats: list[tuple[float, float]] = []
        self.cancels: list[tuple[int, bytes, float]] = []
        self.woken: list[int] = []
        self.canaries: list[bool] = []
        self.recorded: list[bool] = []
        self.sent = threading.Event()
        self.settled = threading.Event()

    def settle(self) -> None:
        self.settled.set()

    def info(self) -> WorkerInfo:
        return INFO

    def beaten(self, now: float, dead_after: float) -> None:
        self.beats.append((now, dead_after))

    def heard_bell(self, *, sent: bool = False) -> None:
        self.rang.set()

    def wait_for_idle(self, seconds: float) -> bool:
        return True

    def made_ready(self, processes: int) -> None:
        self.woken.append(processes)

    def cancel(self, *asked: Any) -> None:
        self.cancels.append(asked)

    def record(self, broker: Broker, *, last: bool = False) -> None:
        self.recorded.append(last)

    def wants_canary(self) -> bool:
        return bool(self.canaries)

    def sent_canary(self) -> None:
        self.canaries.pop()
        self.sent.set()


class Setup:
    def __init__(self, url: str, *, hasty: bool = False) -> None:
        self.broker: Broker = connect(url)
        self.broker.open()
        self.spokesman = Spokesman()
        self.rang = self.spokesman.rang
        self.rescued = threading.Event()
        self.events: list[Event] = []
        emitter = Emitter()
        emitter.subscribe(Event, self.events.append)
        emitter.subscribe(Rescued, lambda event: self.rescued.set())
        self.troubled = threading.Event()
        emitter.subscribe(StoreTrouble, lambda event: self.troubled.set())
        self.back = threading.Event()
        emitter.subscribe(StoreBack, lambda event: self.back.set())
        self.upkeep = Upkeep(url, self.spokesman, TERMS, emitter, hasty=hasty)

    def start(self) -> None:
        self.upkeep.start()
        assert self.spokesman.settled.wait(SECONDS)

    def enqueue(self, run_at: float | None = None) -> bytes:
        return self.broker.enqueue([NewJob(new_ids(1)[0], "app.task", b"\x90", run_at=run_at)])[0]

    def claim(self, holder: Holder) -> Lease:
        (lease,) = self.broker.exchange((), ("default",), 1, holder).leases
        return lease

    def wait_until_ready(self, jobs: int = 1) -> None:
        pause = threading.Event()
        for _ in range(SECONDS * 100):
            if self.broker.depth("default") >= jobs:
                return
            pause.wait(0.01)
        raise AssertionError("nothing became ready")


@pytest.fixture
def setup(queue_url: str) -> Iterator[Setup]:
    setup = Setup(queue_url)
    yield setup
    setup.broker.close()


def test_the_worker_is_on_the_list_from_start_to_stop(setup: Setup) -> None:
    setup.start()
    (worker,) = setup.broker.inspector().workers()
    assert (worker.id, worker.slots) == (WORKER, 2)
    setup.upkeep.stop()
    assert list(setup.broker.inspector().workers()) == []
    assert setup.events == []


def test_a_store_that_refuses_to_be_cleared_up_still_has_its_delayed_jobs_run(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: SqliteBroker, now: float | None = None) -> int:
        raise StoreError("permission denied for table result: grant this user what it needs")

    monkeypatch.setattr(SqliteBroker, "prune", refused)
    setup.enqueue(run_at=1.0)
    setup.start()
    setup.wait_until_ready()
    setup.enqueue(run_at=2.0)
    setup.wait_until_ready(2)
    setup.upkeep.stop()
    assert [str(event) for event in setup.events if isinstance(event, StoreTrouble)] == [
        str(StoreTrouble("upkeep: permission denied for table result: grant this user what it needs"))
    ]


def test_a_worker_beats_while_its_upkeep_waits_for_an_answer(queue_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep_module, "BEAT", 0.1)
    waits, answered = threading.Event(), threading.Event()

    def promote(self: SqliteBroker, **_: object) -> None:
        waits.set()
        assert answered.wait(SECONDS)

    setup = Setup(queue_url)
    with monkeypatch.context() as patched:
        patched.setattr(SqliteBroker, "promote", promote)
        setup.upkeep.start()
        assert waits.wait(SECONDS)
        beats, pause = setup.spokesman.beats, threading.Event()
        deadline = time.monotonic() + SECONDS
        while len(beats) < 5:
            assert time.monotonic() < deadline
            pause.wait(0.01)
    assert max(later - earlier for (earlier, _), (later, _) in itertools.pairwise(beats)) < DEAD_AFTER
    (worker,) = setup.broker.inspector().workers()
    assert worker.silent_for < DEAD_AFTER
    answered.set()
    setup.upkeep.stop()
    # Nor does it come back on the list, by a heartbeat that nobody waited for.
    assert "penstock-pacemaker" not in {thread.name for thread in threading.enumerate()}
    assert list(setup.broker.inspector().workers()) == []
    setup.broker.close()


def test_runs_of_schedules_become_jobs_when_they_are_due(setup: Setup) -> None:
    timetable = Timetable(setup.broker.schedules())
    timetable.add(Schedule("often", "app.task", b"\x90", every=0.2))
    setup.start()
    setup.wait_until_ready()
    # What is added meanwhile is heard of.
    timetable.pause(["often"])
    jobs = setup.broker.depth("default")
    timetable.add(Schedule("oftener", "app.task", b"\x90", every=0.1))
    setup.wait_until_ready(jobs + 3)
    setup.upkeep.stop()


def test_a_schedule_that_can_not_be_worked_out_is_told_of(setup: Setup) -> None:
    setup.broker.schedules().change([Change("strange", ABSENT, Row("strange", 1, 1.0, b"\xc1"))])
    Timetable(setup.broker.schedules()).add(Schedule("often", "app.task", b"\x90", every=0.1))
    setup.start()
    setup.wait_until_ready()
    setup.upkeep.stop()
    (trouble,) = [event for event in setup.events if isinstance(event, ScheduleTrouble)]
    assert (trouble.name, "upgrade Penstock, or remove it" in trouble.reason) == ("strange", True)


def test_new_jobs_ring(setup: Setup) -> None:
    setup.start()
    setup.enqueue()
    assert setup.rang.wait(SECONDS)
    setup.upkeep.stop()


def test_ready_jobs_have_no_round_each_and_a_delayed_one_has_it_when_it_is_due(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What only a ring brings about comes at once, or not within the test.
    monkeypatch.setattr(hearing_module, "_APART", 60.0)
    for name in ("_PROMOTE", "_UNPARK", "BEAT", "DEAD_AFTER"):
        monkeypatch.setattr(upkeep_module, name, 60.0)
    setup.start()
    for _ in range(20):
        setup.enqueue()
        assert setup.rang.wait(SECONDS)
        setup.rang.clear()
    assert len(setup.spokesman.recorded) <= 2
    setup.enqueue(run_at=time.time() + 0.03)
    setup.wait_until_ready(21)
    setup.upkeep.stop()


def test_a_delayed_job_is_ready_when_it_is_due_among_ready_ones(any_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hearing_module, "_APART", 60.0)
    monkeypatch.setattr(upkeep_module, "_PROMOTE", 60.0)
    setup = Setup(any_url)
    setup.start()
    setup.enqueue()
    assert setup.rang.wait(SECONDS)
    for jobs in range(2, 5):
        began = time.monotonic()
        setup.enqueue(run_at=time.time() + 0.03)
        setup.wait_until_ready(jobs)
        # Heartbeats come every two seconds, and look as well.
        if time.monotonic() - began < BEAT / 2:
            break
    else:
        raise AssertionError("it was found by chance")
    setup.upkeep.stop()
    setup.broker.close()


def test_ready_jobs_have_a_round_soon_all_the_same(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_PROMOTE", "BEAT", "DEAD_AFTER"):
        monkeypatch.setattr(upkeep_module, name, 60.0)
    setup.start()
    pause = threading.Event()
    for _ in range(3):
        before = len(setup.spokesman.recorded)
        setup.enqueue()
        for _ in range(SECONDS * 100):
            if len(setup.spokesman.recorded) > before:
                break
            pause.wait(0.01)
        assert len(setup.spokesman.recorded) > before
    setup.upkeep.stop()


def test_what_a_dead_process_held_goes_back_and_what_it_ran_counts_a_crash(setup: Setup) -> None:
    setup.start()
    crashed, unharmed = setup.enqueue(), setup.enqueue()
    holder = Holder(WORKER, 7)
    leases = setup.broker.exchange((), ("default",), 2, holder).leases
    assert [lease.id for lease in leases] == [crashed, unharmed]
    setup.upkeep.bury(7, Death("was killed by SIGSEGV", runs=(Run(crashed, 1.0),)))
    setup.wait_until_ready()
    again = setup.broker.exchange((), ("default",), 2, Holder("other")).leases
    assert {lease.id: (lease.crashes, lease.attempt) for lease in again} == {crashed: (1, 0), unharmed: (0, 0)}
    setup.upkeep.stop()


def test_over_its_limit_a_job_has_failed(setup: Setup) -> None:
    setup.start()
    killed, unharmed = setup.enqueue(), setup.enqueue()
    setup.broker.exchange((), ("default",), 2, Holder(WORKER, 7))
    setup.upkeep.bury(7, Death("was killed", runs=(Run(killed, 4.5, Excess.TIME),)))
    setup.wait_until_ready()
    record = setup.broker.inspector().get(killed)
    assert record is not None
    assert (record.state, record.attempt, record.crashes) == ("delayed", 1, 0)
    (again,) = setup.broker.exchange((), ("default",), 2, Holder("other")).leases
    assert (again.id, again.attempt, again.crashes) == (unharmed, 0, 0)
    (event,) = setup.events
    assert isinstance(event, JobEnded)
    assert (event.outcome.ending, event.seconds) == (Ending.RETRY, 4.5)
    setup.upkeep.stop()


def test_of_an_interruption_nothing_is_counted(setup: Setup) -> None:
    setup.start()
    held = setup.enqueue()
    setup.claim(Holder(WORKER, 7))
    setup.upkeep.bury(7, Death("was killed", runs=(Run(held, 4.5),), interrupted=True))
    setup.wait_until_ready()
    assert (setup.claim(Holder("other")).crashes, setup.events) == (0, [])
    setup.upkeep.stop()


def test_a_job_that_runs_and_is_to_be_cancelled_is_told_of(setup: Setup) -> None:
    setup.start()
    wanted = setup.enqueue()
    setup.enqueue()
    leases = setup.broker.exchange((), ("default",), 2, Holder(WORKER, 7)).leases
    assert setup.broker.inspector().cancel(Selection(ids=(wanted,))) == 1
    pause = threading.Event()
    while not setup.spokesman.cancels:
        pause.wait(0.01)
    assert set(setup.spokesman.cancels) == {(7, wanted, 1.5)}
    setup.upkeep.bury(7, Death("was killed", runs=(Run(wanted, 4.5, Excess.CANCELLED), Run(leases[1].id, 1.0))))
    setup.wait_until_ready()
    record = setup.broker.inspector().get(wanted)
    assert record is not None
    assert (record.state, record.crashes) == ("cancelled", 0)
    assert setup.claim(Holder("other")).crashes == 0
    setup.upkeep.stop()


def test_what_a_store_takes_for_a_process_that_is_buried_already_goes_back(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep_module, "_AGAIN", (0.0, 0.5))
    setup.start()
    setup.enqueue()
    setup.upkeep.bury(7, Death("was killed"))
    pause = threading.Event()
    while setup.upkeep.judging:
        pause.wait(0.01)
    setup.broker.exchange((), ("default",), 1, Holder(WORKER, 7))
    setup.wait_until_ready()
    assert setup.claim(Holder("other")).crashes == 0
    setup.upkeep.stop()


@pytest.fixture(params=["sqlite", "postgresql", "mongodb", "lone mongodb", "redis"])
def any_url(request: pytest.FixtureRequest, queue_url: str) -> str:
    name = f"upkeep{next(_numbers)}"
    match request.param:
        case "postgresql":
            return f"{request.getfixturevalue('postgres_server').url()}?schema={name}"
        case "mongodb":
            return f"{request.getfixturevalue('mongo_server').url()}&namespace={name}"
        case "lone mongodb":
            return f"{request.getfixturevalue('lone_mongo_server').url()}?namespace={name}"
        case "redis":
            return f"{request.getfixturevalue('redis_server').url()}?namespace={name}"
    return queue_url


def test_a_canary_is_enqueued_and_heard(any_url: str) -> None:
    setup = Setup(any_url)
    setup.start()
    setup.spokesman.canaries.append(True)
    setup.upkeep.nudge()
    assert setup.spokesman.sent.wait(SECONDS)
    assert setup.rang.wait(SECONDS)
    (lease,) = setup.broker.exchange((), (queue_of(Spokesman.worker),), 10, Holder("other")).leases
    assert lease.task == "penstock.canary"
    assert setup.upkeep.silent_for is not None
    setup.upkeep.stop()
    setup.broker.close()
    assert setup.events == []


def test_a_listener_that_does_not_hear_its_own_canary_is_replaced(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing that is enqueued rings: as a connection does whose other end is gone.
    listening: list[object] = []

    @contextmanager
    def deaf(self: SqliteBroker, *told: object) -> Iterator[None]:
        listening.append(told)
        yield

    monkeypatch.setattr(SqliteBroker, "listen", deaf)
    monkeypatch.setattr(upkeep_module, "_DEAF", 0.3)
    setup.start()
    setup.spokesman.canaries.append(True)
    pause = threading.Event()
    for _ in range(SECONDS * 100):
        if len(listening) == 2:
            break
        pause.wait(0.01)
    assert [type(event) for event in setup.events] == [ListenerDeaf]
    setup.upkeep.stop()


def test_a_listener_that_never_hears_is_told_of_twice_and_then_mostly_left_alone(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    listening: list[object] = []

    @contextmanager
    def deaf(self: SqliteBroker, *told: object) -> Iterator[None]:
        listening.append(told)
        yield

    monkeypatch.setattr(SqliteBroker, "listen", deaf)
    monkeypatch.setattr(upkeep_module, "_DEAF", 0.05)
    monkeypatch.setattr(upkeep_module, "_ONCE_IN", 4)
    setup.start()
    pause = threading.Event()
    for _ in range(SECONDS * 100):
        if len(listening) == 3:
            break
        if not setup.spokesman.canaries:
            setup.spokesman.canaries.append(True)
            setup.upkeep.nudge()
        pause.wait(0.01)
    setup.upkeep.stop()
    assert len(listening) == 3
    assert [event for event in setup.events if isinstance(event, ListenerDeaf)] == [
        ListenerDeaf(),
        ListenerDeaf(lasting=True),
    ]


def test_a_listener_that_waits_for_an_idle_process_is_not_deaf(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep_module, "_DEAF", 0.2)
    someone_idle = threading.Event()
    monkeypatch.setattr(setup.spokesman, "heard_bell", lambda **_: setup.rang.set() or someone_idle.wait(SECONDS))
    setup.start()
    setup.enqueue()
    assert setup.rang.wait(SECONDS)
    for _ in range(2):
        setup.spokesman.sent.clear()
        setup.spokesman.canaries.append(True)
        setup.upkeep.nudge()
        assert setup.spokesman.sent.wait(SECONDS)
        threading.Event().wait(0.3)
    someone_idle.set()
    setup.upkeep.stop()
    assert setup.events == []


def test_what_its_processes_still_hold_goes_back_at_the_end(setup: Setup) -> None:
    setup.start()
    setup.enqueue()
    setup.claim(Holder(WORKER, 1))
    setup.upkeep.stop()
    assert setup.broker.depth("default") == 1


def test_who_finds_no_room_to_leave_is_known_to_be_dead_at_once_and_not_before(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On SQLite: it listens on while the disk is full, and what it listened at tells of its end."""

    def full(self: SqliteBroker, *_: Any, **__: Any) -> None:
        raise StoreFull("no space left: free some, then try again")

    monkeypatch.setattr(upkeep_module, "BEAT", 0.01)
    before = {*threading.enumerate()}
    setup.start()
    setup.enqueue()
    lease = setup.claim(Holder(WORKER, 1))
    with monkeypatch.context() as refusing:
        refusing.setattr(SqliteBroker, "heartbeat", full)
        refusing.setattr(SqliteBroker, "depart", full)
        assert setup.troubled.wait(SECONDS)
        assert setup.broker.rescue(dead_after=60.0) == 0
        own = {*threading.enumerate()} - before
        setup.upkeep.stop()
        # In a process that goes on, the thread that listens lets go of the socket a moment later.
        for thread in own:
            thread.join(SECONDS)
    assert setup.broker.rescue(dead_after=60.0) == 1
    assert setup.claim(Holder("other")).id == lease.id
    assert [type(event) for event in setup.events] == [StoreTrouble]


def test_jobs_of_workers_that_are_dead_go_back(setup: Setup) -> None:
    setup.enqueue()
    setup.broker.heartbeat(other("dead"), now=-1000.0)
    lease = setup.claim(Holder("dead", 1))
    setup.broker.heartbeat(other("dead"), now=-1000.0)
    setup.start()
    assert setup.rescued.wait(SECONDS)
    assert setup.claim(Holder("other")).id == lease.id
    setup.upkeep.stop()


@pytest.mark.parametrize("hasty", [True, False], ids=["to the end of the queue", "for long"])
@pytest.mark.parametrize("any_url", ["postgresql", "mongodb"], indirect=True)
def test_who_comes_to_a_store_that_may_have_been_away_judges_at_once_only_where_it_will_not_be_there_later(
    any_url: str, hasty: bool
) -> None:
    setup = Setup(any_url, hasty=hasty)
    setup.enqueue()
    setup.claim(Holder("silent", 1))
    setup.broker.heartbeat(other("silent"), now=1000.0)
    setup.start()
    assert setup.rescued.wait(SECONDS if hasty else 0.5) is hasty
    setup.upkeep.stop()
    setup.broker.close()


def test_who_finds_a_store_away_however_shortly_judges_nobody_once_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep_module, "BEAT", 0.05)
    monkeypatch.setattr(upkeep_module, "DEAD_AFTER", 60.0)
    monkeypatch.setattr(upkeep_module, "_LONGEST_PAUSE", 0.1)
    with RedisServer(appendfsync="always") as server:
        setup = Setup(server.url(), hasty=True)
        setup.enqueue()
        setup.claim(Holder("silent", 1))
        info = other("silent")
        setup.broker.heartbeat(info, now=time.time() - 1)
        setup.start()
        server.kill()
        with socket.create_server((LOOPBACK, server.port)) as door:
            door.settimeout(SECONDS)
            left = 3
            while left:
                door.accept()[0].close()
                # One may have come before that, and one is the listener's, which lets go.
                left -= any(isinstance(event, StoreTrouble) for event in list(setup.events))
        # The other could not beat either, and would be dead by now.
        monkeypatch.setattr(upkeep_module, "DEAD_AFTER", 0.5)
        server.start()
        assert setup.back.wait(SECONDS)
        assert not setup.rescued.is_set()
        setup.upkeep.stop()
        setup.broker.close()


class _Clock:
    """The time module, with a monotonic clock that can be set forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


def _late_once(setup: Setup, monkeypatch: pytest.MonkeyPatch, call: str, seconds: float) -> threading.Event:
    """Have the answer to the first of these calls take so many seconds; another worker is silent for long by then. Set when the second has been answered."""
    clock, calls, again = _Clock(), itertools.count(), threading.Event()
    original, heartbeat = getattr(SqliteBroker, call), SqliteBroker.heartbeat

    def late(self: SqliteBroker, *args: Any) -> object:
        number = next(calls)
        if not number:
            heartbeat(self, other("silent"), now=-1000.0)
            clock.ahead += seconds
        answer = original(self, *args)
        if number:
            again.set()
        return answer

    monkeypatch.setattr(upkeep_module, "time", clock)
    monkeypatch.setattr(SqliteBroker, call, late)
    return again


def test_who_waited_long_for_an_answer_judges_nobody_right_after(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    setup.enqueue()
    setup.claim(Holder("silent", 1))
    setup.broker.heartbeat(other("silent"))
    _late_once(setup, monkeypatch, "promote", 4.0)
    setup.start()
    assert not setup.rescued.wait(1.0)
    setup.upkeep.stop()
    assert setup.events == []


def test_who_waits_long_for_every_answer_judges_by_a_longer_silence(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = {}
    for name in ("dead", "slow"):
        setup.enqueue()
        setup.broker.heartbeat(other(name))
        held[name] = setup.claim(Holder(name, 1)).id
    clock, promote, heartbeat = _Clock(), SqliteBroker.promote, SqliteBroker.heartbeat

    def slow(self: SqliteBroker, *args: Any) -> object:
        if not clock.ahead:
            for name, silent in ("dead", 70.0), ("slow", 50.0):
                info = other(name)
                heartbeat(self, info, now=time.monotonic() - silent)
        clock.ahead += 4.0
        return promote(self, *args)

    monkeypatch.setattr(upkeep_module, "time", clock)
    monkeypatch.setattr(upkeep_module, "_PROMOTE", 0.0)
    monkeypatch.setattr(SqliteBroker, "promote", slow)
    setup.start()
    assert setup.rescued.wait(SECONDS)
    setup.upkeep.stop()
    assert setup.events == [Rescued(1)]
    assert clock.ahead > 60
    assert setup.claim(Holder("other")).id == held["dead"]
    assert not setup.broker.exchange((), ("default",), 1, Holder("other")).leases


def test_a_beat_that_was_long_on_its_way_is_followed_by_another(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep_module, "BEAT", 1000.0)
    again = _late_once(setup, monkeypatch, "heartbeat", 1001.0)
    setup.start()
    assert again.wait(SECONDS)
    setup.upkeep.stop()


def test_due_and_parked_jobs_become_ready(setup: Setup) -> None:
    setup.enqueue()
    lease = setup.claim(Holder("other"))
    setup.broker.exchange([Outcome(lease, Ending.PARKED)], (), 0, Holder("other"))
    setup.enqueue(run_at=1.0)
    setup.start()
    setup.wait_until_ready()
    pause = threading.Event()
    while setup.broker.depth("default") < 2:
        pause.wait(0.01)
    setup.upkeep.stop()


def test_a_worker_that_can_not_beat_judges_nobody(setup: Setup, queue_file: Path) -> None:
    setup.enqueue()
    setup.claim(Holder("other", 1))
    setup.broker.heartbeat(other("other"), now=-1000.0)
    with closing(sqlite3.connect(queue_file)) as connection:
        connection.execute(
            "create trigger refuse before insert on penstock_worker begin select raise(fail, 'the disk is full'); end"
        )
    setup.start()
    assert not setup.rescued.wait(1.0)
    setup.upkeep.stop()
    assert [type(event) for event in setup.events] == [StoreTrouble]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_one_that_breaks_is_noticed(queue_url: str) -> None:
    class Broken(Spokesman):
        def info(self) -> WorkerInfo:
            raise LookupError("a bug")

    spokesman = Broken()
    upkeep = Upkeep(queue_url, spokesman, {}, Emitter())
    upkeep.start()
    assert spokesman.settled.wait(SECONDS)
    assert upkeep.ended
    upkeep.stop()
