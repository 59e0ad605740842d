"""A small day's work on a queue: of everything a little, sent by one process and done by another, the parts of real ones, in one thread.

Run as a program it holds the day in memory, connected to nothing, and forks a process for each part of it: who comes after a process that was killed knows what that one
knew when it began, and has the same ids. What ran is noted in a file outside the store.
"""

import faulthandler
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from typing import Any

from msgspec.structs import replace

from penstock import Backoff, Penstock, chord, current_job
from penstock.batching.collector import grouped
from penstock.brokers import connect
from penstock.brokers.base import Broker, WorkerInfo
from penstock.brokers.mongodb import intents
from penstock.brokers.timetable import Timetable
from penstock.client import new_ids
from penstock.core.codec import encode_value
from penstock.core.job import Holder, NewJob
from penstock.core.topics import Event, body
from penstock.errors import StoreError
from penstock.events.counters import ROOM, Counters
from penstock.events.meter import Meter
from penstock.started import store
from penstock.worker import dispatcher as dispatching
from penstock.worker.context import written_by
from penstock.worker.dispatcher import Dispatcher

PLAIN, ITEMS, ROWS, NARROW, GATHERED = 3, 3, 3, 2, 2
#: Times that an act is tried which is refused: one fault breaks two exchanges at most, and what a client has tried again by itself.
_TRIES = 4
#: Seconds after which a process that has not ended is stuck.
_STUCK = 200
_PAUSE = 0.01
_pause = threading.Event()


class Note:
    """Writes down, outside the store, what happens; whole lines, whoever is killed."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def __call__(self, what: str, name: str = "") -> None:
        os.write(self._file, f"{what} {name}\n".encode())


class Day:
    """What is sent, and who does it.

    Parameters:
        url: of the queue.
        rows: of the database that the sink writes to.
        log: the file of the notes.
        number: of this day: what is named in the store is named by it, which keeps the days apart.
    """

    def __init__(self, url: str, rows: str, log: str, number: int) -> None:
        self.url = url
        self.note = Note(log)
        self.number = number
        self.app = Penstock(url)
        self._tasks(rows)
        self._jobs()
        # Loads the driver, which each process would do anew.
        for kind in (url, rows):
            connect(kind)

    def _ran(self, name: str) -> None:
        self.note("ran", name)

    def _tasks(self, rows: str) -> None:
        app, ran = self.app, self._ran

        @app.task(name="plain", retries=0)
        def plain(number: int) -> None:
            ran(f"plain{number}")

        @app.task(name="kept", retries=0)
        def kept(number: int) -> int:
            ran("kept")
            return number * 2

        @app.task(name="flaky", retries=1, backoff=Backoff(first=0.0))
        def flaky() -> None:
            ran(f"flaky{current_job().attempt}")
            if current_job().attempt == 1:
                raise ConnectionError

        @app.task(name="hopeless", retries=0)
        def hopeless() -> None:
            ran("hopeless")
            raise ValueError

        @app.task(name="once", retries=0, at_most_once=True)
        def once() -> None:
            ran("once")

        @app.task(name="narrow", retries=0, concurrency=1)
        def narrow(number: int) -> None:
            ran(f"narrow{number}")

        @app.task(name="item", retries=1, backoff=Backoff(first=0.0))
        def item(number: int) -> None:
            ran(f"item{number}.{current_job().attempt}")
            if number == 1 and current_job().attempt == 1:
                raise ConnectionError

        @app.task(name="step", retries=0)
        def step(number: int) -> int:
            ran(f"step{number}")
            return number

        @app.task(name="total", retries=0)
        def total(numbers: list[int]) -> int:
            ran(f"total{sum(numbers)}")
            return sum(numbers)

        @app.batch_task(name="gathered", max_size=10, max_wait=0.0)
        def gathered(numbers: list[int]) -> None:
            for number in numbers:
                ran(f"gathered{number}")

        @app.subscribe("day.#", group="default", name="heard", retries=0)
        def heard(event: int) -> None:
            ran(f"heard{event}")

        @app.schedule(every=3600.0, name="hourly")
        @app.task(name="hourly", retries=0)
        def hourly() -> None:
            ran("hourly")

        app.sink(rows, table="rows", create=True)

    def _jobs(self) -> None:
        made = [
            *(("plain", (n,)) for n in range(PLAIN)),
            ("kept", (21,)),
            ("flaky", ()),
            ("hopeless", ()),
            ("once", ()),
        ]
        made += [*(("narrow", (n,)) for n in range(NARROW)), *(("gathered", (n,)) for n in range(GATHERED))]
        jobs = [self.app.tasks[name].job(arguments, {}) for name, arguments in made]
        ids = new_ids(len(jobs) + 3)
        changes: list[dict[str, Any]] = [{"id": id} for id in ids]
        changes[1]["delay"], changes[2]["unique"] = 0.001, f"u{self.number}"
        self.jobs = [replace(job, **change) for job, change in zip(jobs, changes, strict=False)]
        *_, packed, row, event = ids
        self.event = Event(event, f"day.{self.number}", body(f"day.{self.number}", encode_value(7)))
        self.packed = NewJob(packed, "item", b"\x93\x93\x91\x00\x91\x01\x91\x02\x00\xc0", items=ITEMS, packed=True, batch=packed)  # fmt: skip
        wide = b"".join(b"\x91\x81\xa2id\xcd" + (self.number * ROWS + n).to_bytes(2) for n in range(ROWS))
        self.rows = NewJob(row, "sink:rows", b"\x93\x93" + wide + b"\x00\xc0", items=ROWS, packed=True, batch=row)
        step, total = self.app.tasks["step"], self.app.tasks["total"]
        self.flow = chord([step.si(1), step.si(2)], total.s()).workflow().made()

    def ids(self) -> dict[str, str]:
        """Of what is looked up when the day is over."""
        kept = next(job for job in self.jobs if job.task == "kept")
        return {
            "kept": kept.id.hex(),
            "packed": self.packed.id.hex(),
            "rows": self.rows.id.hex(),
            "flow": self.flow.id.hex(),
        }

    def send(self) -> None:
        """All of it, as a patient program does: what is refused is sent again, with the same ids."""
        client = self.app.client
        self._act("plain", lambda: client.enqueue(self.jobs[:PLAIN]))
        self._act("others", lambda: client.enqueue(self.jobs[PLAIN:]))
        self._act("packed", lambda: client.enqueue([self.packed]))
        self._act("rows", lambda: client.enqueue([self.rows]))
        self._act("flow", lambda: store(client, self.flow))
        self._act("event", lambda: client.publish([self.event]))
        with client.broker() as broker:
            hour = (time.time() // 3600 + self.number + 1) * 3600.0
            self._act("hourly", lambda: Timetable(broker.schedules()).fire(now=hour))
        self.app.close()

    def start(self) -> None:
        """What workers do when they start: have the store know of limits, subscriptions and schedules."""
        with closing(connect(self.url)) as broker:
            self._patiently(broker.open)
            self._patiently(lambda: broker.declare(self.app.limits))
            self._patiently(lambda: self.app.register(broker))
            self._patiently(lambda: self.app.declare_schedules(broker))

    def _act(self, name: str, act: Callable[[], object]) -> None:
        self.note("sending", name)
        self._patiently(act)
        self.note("sent", name)

    def _patiently(self, act: Callable[[], object]) -> None:
        for _ in range(_TRIES - 1):
            with suppress(StoreError):
                act()
                return
            self.note("refused")
        act()

    def work(self, number: int, *, buried: bool) -> None:
        """Be a worker until nothing is left to do.

        Parameters:
            number: of workers so far: those before are dead.
            buried: they were processes of this worker, so it is told; otherwise they have been silent for too long.
        """
        worker, beat = f"day{self.number}" if buried else f"day{self.number}.{number}", time.time() + 100.0 * number
        holder, runner = Holder(worker, number), self.app.runner()
        with closing(connect(self.url)) as broker, closing(runner):
            self._patiently(broker.open)
            self._patiently(lambda: broker.heartbeat(_info(holder), now=beat))
            dispatcher = Dispatcher(
                broker, holder, self.app.queues, lambda _: self.note("stale"), lambda _: None,
                Meter(Counters(memoryview(bytearray(ROOM))), tuple),
            )  # fmt: skip
            runner.joining = dispatcher.joining
            with written_by(dispatcher.scribe):
                self._until_over(
                    broker, dispatcher, runner, lambda: self._look_after(broker, holder, beat, buried=buried)
                )
            self._patiently(broker.prune)
            self._patiently(lambda: broker.depart(worker))
            dispatcher.scribe.close()

    def _until_over(self, broker: Broker, dispatcher: Dispatcher, runner: Any, look_after: Callable[[], None]) -> None:
        looks = 0
        # Messages of a connection that was lost are in no queue for a moment.
        while looks < (1 if broker.keeps_records else 5):
            while self._turn(broker, dispatcher, runner):
                looks = 0
            with suppress(StoreError):
                look_after()
                looks = looks + 1 if not dispatcher.waiting and self._is_over(broker) else 0
            _pause.wait(_PAUSE)

    def _look_after(self, broker: Broker, holder: Holder, beat: float, *, buried: bool) -> None:
        """As the upkeep of a worker does."""
        if buried:
            for dead in range(1, holder.process):
                broker.abandon(Holder(holder.worker, dead))
        broker.heartbeat(_info(holder), now=beat)
        broker.rescue(dead_after=50.0, now=beat)
        broker.promote()

    def _turn(self, broker: Broker, dispatcher: Dispatcher, runner: Any) -> bool:
        """One round of a worker; one that is refused is made again. Is anything left?"""
        try:
            leases = dispatcher.tick(3)
        except StoreError:
            self.note("refused")
            return True
        self.note("told")
        for lease in grouped(leases, runner.shared):
            outcome = runner.run(lease)
            for part in outcome.parts or (outcome,):
                dispatcher.done(part)
        return bool(leases or dispatcher.waiting)

    def _is_over(self, broker: Broker) -> bool:
        counts = broker.inspector().count()
        return not any(one.ready + one.running + one.delayed + one.parked + one.waiting for one in counts)


def _info(holder: Holder) -> WorkerInfo:
    return WorkerInfo(
        id=holder.worker, host="host", pid=1, pool="prefork", slots=1, queues=("default",), started_at=time.time()
    )


def forked(act: Callable[[], None]) -> int:
    """Do it in a process of its own, once the word is given; returns its exit status."""
    word, go = os.pipe()
    pid = os.fork()
    if not pid:
        status = 1
        try:
            os.close(go)
            os.read(word, 1)
            faulthandler.dump_traceback_later(_STUCK, exit=True)
            act()
            status = 0
        except BaseException:  # noqa: BLE001 - it must not go on in the parent's place
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(word)
    print(pid, flush=True)
    sys.stdin.readline()
    os.close(go)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main() -> None:
    # Whoever is not alive here is dead: there is one process at a time, and nobody need be waited for.
    intents._PATIENCE = -1.0
    dispatching._LOOKS = (0.0, 0.1, 0.5)
    day: Day | None = None
    while line := sys.stdin.readline():
        order = json.loads(line)
        act = order.pop("act")
        if act == "day":
            day = Day(**order)
            print(json.dumps(day.ids()), flush=True)
        else:
            print(forked(partial(getattr(day, act), **order)), flush=True)


if __name__ == "__main__":
    main()
