"""One fault at every step: each statement that a small day's work makes is, in a run of its own, refused, or the last thing a process does.

The work is done in one thread, by the parts of real workers and senders. A process that is killed is one whose connection goes away between two statements, and with it
what was not committed; who comes after it is told by nobody but the store. What ran is noted outside the store, and so is what a sink got.
"""

import itertools
import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from penstock import Backoff, Penstock
from penstock.batching.collector import grouped
from penstock.brokers import connect
from penstock.brokers.base import Broker, WorkerInfo
from penstock.brokers.inspect import Selection
from penstock.brokers.timetable import Timetable
from penstock.core.ids import uuid7s
from penstock.core.job import Holder, NewJob
from penstock.core.states import State
from penstock.errors import StoreError
from penstock.events.counters import ROOM, Counters
from penstock.events.meter import Meter
from penstock.worker.dispatcher import Dispatcher

SINGLE, ITEMS, ROWS = 4, 3, 3
_real_connect = sqlite3.connect


class Fault(Enum):
    REFUSED = "refused"
    KILLED = "killed"


class Killed(BaseException):
    """The process is gone."""


class Steps:
    """Counts statements, and does harm at one of them.

    Parameters:
        at: which; none where it is 0.
    """

    def __init__(self, at: int = 0, fault: Fault = Fault.KILLED) -> None:
        self.at = at
        self.fault = fault
        self.count = 0

    def take(self) -> None:
        self.count += 1
        if self.count != self.at:
            return
        if self.fault is Fault.KILLED:
            raise Killed
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_BUSY
        raise error


def stepping(steps: Steps) -> Callable[..., sqlite3.Connection]:
    """`sqlite3.connect` whose connections count what they do."""

    class Stepping(sqlite3.Connection):
        def execute(self, *words: Any) -> sqlite3.Cursor:
            steps.take()
            return super().execute(*words)

        def executemany(self, *words: Any) -> sqlite3.Cursor:
            steps.take()
            return super().executemany(*words)

    def connecting(*words: Any, **options: Any) -> sqlite3.Connection:
        return _real_connect(*words, **options, factory=Stepping)

    return connecting


class Day:
    """The work, and the notes of what ran."""

    def __init__(self, folder: Path, steps: Steps) -> None:
        self.url = f"sqlite:///{folder}/jobs.db?durability=off"
        self.rows = folder / "rows.db"
        self.steps = steps
        self.ran: Counter[object] = Counter()
        #: What ran since the store was last told of endings.
        self.untold: set[object] = set()
        #: What was untold when the process died.
        self.excused: set[object] = set()
        self.ids = uuid7s(SINGLE + 3, 1_700_000_000_000, b"0123456789")
        self.app = Penstock(self.url)
        self.numbers = itertools.count(1)
        self._tasks()

    def _tasks(self) -> None:
        def note(what: object) -> None:
            self.ran[what] += 1
            self.untold.add(what)

        @self.app.task(name="single")
        def single(number: int) -> None:
            note(number)

        @self.app.task(name="flaky", retries=1, backoff=Backoff(first=0.0))
        def flaky() -> None:
            note("flaky")
            if self.ran["flaky"] == 1:
                raise ConnectionError

        @self.app.task(name="item", retries=1, backoff=Backoff(first=0.0))
        def item(number: int) -> None:
            note(("item", number))
            if self.ran["item", number] == 1 and number == 1:
                raise ConnectionError

        @self.app.schedule(every=3600.0, name="hourly")
        @self.app.task(name="hourly")
        def hourly() -> None:
            note("hourly")

        self.app.sink(f"sqlite:///{self.rows}?durability=off", table="rows", create=True)

    def run(self) -> None:
        """Send, and work until nothing is left, each by one process after the other for as long as they die."""
        self._until_done(self._send)
        self._until_done(self._work)
        self.app.close()

    def _until_done(self, process: Callable[[], None]) -> None:
        for _ in range(3):
            try:
                return process()
            except Killed:
                self.excused |= self.untold
                self.untold.clear()
        raise AssertionError("one fault kills one process")

    def _patiently(self, act: Callable[[], object]) -> None:
        """As who sends does that is refused: once more, with the same ids."""
        with suppress(StoreError):
            act()
            return
        act()

    def _send(self) -> None:
        made = [self.app.tasks["single"].job((number,), {}) for number in range(SINGLE)]
        made.append(self.app.tasks["flaky"].job((), {}))
        later = made[1]
        jobs = [
            NewJob(id, job.task, job.payload, unique=f"u{n}" if n == 0 else None, delay=0.001 if job is later else None)
            for n, (id, job) in enumerate(zip(self.ids, made, strict=False))
        ]
        packed = NewJob(self.ids[-2], "item", b"\x93\x93\x91\x00\x91\x01\x91\x02\x00\xc0", items=ITEMS, packed=True, batch=self.ids[-2])  # fmt: skip
        rows = NewJob(self.ids[-1], "sink:rows", b"\x93\x93" + b"".join(b"\x91\x81\xa2id%c" % n for n in range(ROWS)) + b"\x00\xc0", items=ROWS, packed=True, batch=self.ids[-1])  # fmt: skip
        with closing(connect(self.url)) as broker:
            self._patiently(broker.open)
            for some in (jobs, [packed], [rows]):
                self._patiently(lambda some=some: broker.enqueue(some))
            self._patiently(lambda: self.app.declare_schedules(broker))
            hour = (time.time() // 3600 + 1) * 3600.0
            self._patiently(lambda: Timetable(broker.schedules()).fire(now=hour))

    def _work(self) -> None:
        """One worker: it takes up what dead ones held, and works until there is nothing."""
        number = next(self.numbers)
        holder = Holder(f"worker{number}", 1)
        runner = self.app.runner()
        with closing(connect(self.url)) as broker, closing(runner):
            self._patiently(broker.open)
            self._patiently(lambda: broker.heartbeat(_info(holder)))
            for dead in range(1, number):
                self._patiently(lambda dead=dead: broker.abandon(Holder(f"worker{dead}", 1)))
            meter = Meter(Counters(memoryview(bytearray(ROOM))), tuple)
            dispatcher = Dispatcher(broker, holder, self.app.queues, lambda _: None, lambda _: None, meter)
            runner.joining = dispatcher.joining
            while self._turn(broker, dispatcher, runner):
                pass
            self._patiently(broker.prune)
            self._patiently(lambda: broker.depart(holder.worker))

    def _turn(self, broker: Broker, dispatcher: Dispatcher, runner: Any) -> bool:
        """One round of a worker; one that is refused is made again. Is anything left?"""
        try:
            broker.promote(now=float("inf"))
            leases = dispatcher.tick(2)
            self.untold.clear()
            if not leases and not dispatcher.waiting:
                return dispatcher.is_work_left()
        except StoreError:
            return True
        for lease in grouped(leases, runner.shared):
            outcome = runner.run(lease)
            for part in outcome.parts or (outcome,):
                dispatcher.done(part)
        return True


def _info(holder: Holder) -> WorkerInfo:
    return WorkerInfo(
        id=holder.worker, host="host", pid=1, pool="prefork", slots=1, queues=("default",), started_at=time.time()
    )


@contextmanager
def day(template: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, steps: Steps) -> Iterator[Day]:
    folder.mkdir()
    # The steps of making the tables, which all have the same end, would be most of them.
    for name in template.iterdir():
        shutil.copy(name, folder)
    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", stepping(steps))
        one = Day(folder, steps)
        one.run()
    yield one


def check(one: Day) -> None:
    """Nothing is lost; and nothing ran twice but what a process ran that died before it could say so."""
    twice = {"flaky": 2, ("item", 1): 2}
    wanted = [*range(SINGLE), "flaky", "hourly", *(("item", n) for n in range(ITEMS))]
    assert {what for what in wanted if one.ran[what] < twice.get(what, 1)} == set()
    assert {what for what in wanted if one.ran[what] > twice.get(what, 1)} <= one.excused
    with closing(_real_connect(one.rows)) as connection:
        assert connection.execute("select id from rows order by id").fetchall() == [(n,) for n in range(ROWS)]
    with closing(connect(one.url)) as broker:
        broker.open()
        left = broker.inspector().list(Selection())
    assert [job for job in left if job.state is not State.DONE] == []


@pytest.mark.parametrize("fault", list(Fault), ids=lambda fault: fault.value)
def test_a_fault_at_any_step_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault) -> None:
    template = tmp_path / "template"
    template.mkdir()
    with closing(connect(f"sqlite:///{template}/jobs.db?durability=off")) as broker:
        broker.open()
    with day(template, tmp_path / "0", monkeypatch, Steps()) as plain:
        check(plain)
        assert plain.excused == set()
        total = plain.steps.count
    assert total > 50
    for at in range(1, total + 1):
        with day(template, tmp_path / str(at), monkeypatch, Steps(at, fault)) as one:
            try:
                check(one)
            except AssertionError as error:
                raise AssertionError(f"{fault.value} at step {at} of {total}: {error}") from error
