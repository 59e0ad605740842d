"""What the suite's other processes run: one command on one store, told and telling by lines.

A child says `ready` once it is set up, waits for a line, and then reports each thing it did in one line. It is run as
a script, so that it loads the broker and nothing of the suite.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import TextIO

from penstock.brokers import connect
from penstock.brokers.base import Broker, WorkerInfo
from penstock.brokers.listener import Waking
from penstock.brokers.timetable import Timetable
from penstock.core.ids import uuid7s
from penstock.core.job import Holder, NewJob
from penstock.core.outcome import Outcome
from penstock.core.topics import Event

QUEUE = "default"


def say(text: str, out: TextIO = sys.stdout) -> None:
    """One line, in one write: it arrives whole or not at all."""
    out.write(f"{text}\n")
    out.flush()


def get_set() -> None:
    """Say so, and wait for the start."""
    say("ready")
    sys.stdin.readline()


def new_jobs(count: int) -> list[NewJob]:
    """Plain jobs with ids of this process's own."""
    made = uuid7s(count, time.time_ns() // 1_000_000, os.urandom(10))
    return [NewJob(id=id, task="app.task", payload=b"payload") for id in made]


def opened(url: str) -> Broker:
    """The store, open."""
    broker = connect(url)
    broker.open()
    return broker


def beat(broker: Broker, worker: str) -> None:
    """Put a worker on the list."""
    broker.heartbeat(WorkerInfo(worker, "host", os.getpid(), "threads", 1, (QUEUE,), time.time()))


def drain(url: str, worker: str, limit: str) -> None:
    """Claim and end jobs until there are none; each line is one exchange's leases, told before they are ended."""
    broker = opened(url)
    holder = Holder(worker, 1)
    beat(broker, worker)
    get_set()
    outcomes: list[Outcome] = []
    while True:
        given = broker.exchange(outcomes, (QUEUE,), int(limit), holder)
        if given.stale:
            say("stale " + " ".join(outcome.lease.id.hex() for outcome in given.stale))
        if not given.leases:
            break
        say("claimed " + " ".join(lease.id.hex() for lease in given.leases))
        outcomes = [Outcome(lease) for lease in given.leases]
    broker.close()


def begin(url: str) -> None:
    """Open the store for the first time, and enqueue one job."""
    get_set()
    broker = opened(url)
    broker.enqueue(new_jobs(1))
    broker.close()
    say("done")


def enqueue(url: str, size: str, times: str) -> None:
    """Enqueue so many batches of a size; each line is one batch that is in."""
    broker = opened(url)
    get_set()
    for _ in range(int(times)):
        broker.enqueue(new_jobs(int(size)))
        say("in")
    broker.close()


def publish(url: str, size: str, times: str) -> None:
    """Publish so many batches of events of a size; each line is one batch that is in."""
    broker = opened(url)
    get_set()
    for _ in range(int(times)):
        made = uuid7s(int(size), time.time_ns() // 1_000_000, os.urandom(10))
        broker.publish([Event(id, "orders.filled", b"payload") for id in made])
        say("in")
    broker.close()


def fire(url: str, start: str, step: str, times: str) -> None:
    """Make jobs of what is due, as time goes on in steps, each of which waits for a line; each line said is one step that is done."""
    broker = opened(url)
    timetable = Timetable(broker.schedules())
    get_set()
    for number in range(int(times)):
        sys.stdin.readline()
        timetable.fire(now=float(start) + number * float(step))
        say(str(number))
    broker.close()


def listen(url: str) -> None:
    """Listen, and tell of every wake-up until the input ends."""
    broker = opened(url)
    woken = threading.Event()
    with broker.listen(Waking(woken.set)):
        beat(broker, f"listener {os.getpid()}")
        get_set()
        while woken.wait(30):
            woken.clear()
            say("woken")


COMMANDS: dict[str, Callable[..., None]] = {
    "drain": drain, "begin": begin, "enqueue": enqueue, "publish": publish, "fire": fire, "listen": listen,
}  # fmt: skip


def main(arguments: Sequence[str]) -> None:
    """Run the command named first with the rest."""
    command, *rest = arguments
    COMMANDS[command](*rest)


if __name__ == "__main__":
    main(sys.argv[1:])
