"""What watches from outside: the notes that runs made, the processes there are, and deadlines."""

import itertools
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from penstock import Penstock
from penstock.brokers.inspect import QueueCounts, of_users
from penstock.errors import StoreUnavailable

HERE = Path(__file__).parent

#: The long form: `PENSTOCK_CHAOS=full pytest tests/chaos`.
FULL = os.environ.get("PENSTOCK_CHAOS") == "full"
#: The seed of everything that is random; a failing test prints it, and PENSTOCK_CHAOS_SEED brings it back.
SEED = int(os.environ.get("PENSTOCK_CHAOS_SEED", time.time_ns() % 10**9))

#: The kinds of store there are; `mongodb` is a replica set.
KINDS = ["sqlite", "postgresql", "mongodb"]
#: For tests of what does not depend on the store: every kind in the long form.
KINDS_IN_FULL = [*KINDS, "lone mongodb", "redis"] if FULL else KINDS[:1]
#: For those of them that tell most of a store whose exchanges are no transactions.
KINDS_AND_REDIS = KINDS_IN_FULL if FULL else [*KINDS_IN_FULL, "redis"]
#: With RabbitMQ in the long form.
KINDS_AND_RABBITMQ = [*KINDS_IN_FULL, "rabbitmq"] if FULL else KINDS_IN_FULL


class Note(NamedTuple):
    """A run's note; `worked` is the processor's time that its thread has had, in seconds."""

    what: str
    number: int
    pid: int
    at: float
    attempt: int
    worked: float


class World:
    """One queue, one oracle's file, and the workers on them.

    Parameters:
        worker_url: by which the workers reach the queue, where that is another way than the test's own.
    """

    def __init__(self, folder: Path, app: Penstock, worker_url: str | None = None) -> None:
        self.folder = folder
        self.app = app
        self.worker_url = worker_url or app.settings.url
        self.log = folder / "log"
        self.workers: list[Worker] = []

    def start(self, **lane: Any) -> "Worker":
        """Start a worker that says nothing, with the fields of a `Lane`."""
        words = ["chaos_worker.py", self.worker_url, str(self.log), json.dumps({"processes": 2, **lane})]
        return self._started(Worker(words, self.folder))

    def run(self, *options: str, **environment: str) -> "Worker":
        """Start `penstock worker` as users do; what it says is kept."""
        told = {"CHAOS_URL": self.worker_url, "CHAOS_LOG": str(self.log), **environment}
        return self._started(Worker(["-m", "penstock", "worker", "chaos_target:app", *options], self.folder, told))

    def run_all(self, number: int, *options: str) -> list["Worker"]:
        """Start so many as `run` does, and wait until all are up: one whose very first connection is cut ends with status 1."""
        workers = [self.run(*options) for _ in range(number)]
        with self.app.inspector() as inspector:
            until(lambda: len(inspector.workers()) == number, 60, "all workers are up")
        return workers

    def _started(self, worker: "Worker") -> "Worker":
        self.workers.append(worker)
        return worker

    def notes(self, what: str = "run") -> list[Note]:
        if not self.log.exists():
            return []
        # The last line may be only half there: a line that lies across two pages of the file is seen to grow.
        whole = self.log.read_text("ascii").rpartition("\n")[0]
        fields = (line.split() for line in whole.splitlines())
        notes = (Note(w, int(n), int(pid), float(at), int(tries), float(cpu)) for w, n, pid, at, tries, cpu in fields)
        return [note for note in notes if note.what == what]

    def runs(self) -> dict[int, list[Note]]:
        """The runs of each number."""
        runs: dict[int, list[Note]] = defaultdict(list)
        for note in self.notes():
            runs[note.number].append(note)
        return runs

    def counts(self) -> QueueCounts:
        with self.app.inspector() as inspector:
            return next(iter(of_users(inspector.count())), QueueCounts("default"))

    def live(self) -> int:
        """How many jobs wait or run; as long as the store is away, there is no telling, and 1 stands for it."""
        try:
            counts = self.counts()
        except StoreUnavailable:
            return 1
        return counts.ready + counts.running + counts.delayed + counts.parked

    def wait_for_runs(self, more_than: int) -> None:
        """Wait until there are more runs, or nothing is left to run."""
        until(lambda: len(self.notes()) > more_than or self.live() == 0, 20, "jobs run")

    def wait_until_done(self, seconds: float) -> None:
        until(lambda: self.live() == 0, seconds, "every job has ended")

    def close(self) -> None:
        for worker in self.workers:
            worker.close()
        self.app.close()


class Worker:
    """A program with processes of its own, a worker say; what it and they write is kept."""

    _numbers = itertools.count(1)

    def __init__(self, words: list[str], folder: Path, environment: dict[str, str] | None = None) -> None:
        number = next(self._numbers)
        self._said, self._printed = folder / f"said{number}", folder / f"printed{number}"
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
        told = {**clean, "PYTHONWARNINGS": "error", **(environment or {})}
        with self._said.open("wb") as said, self._printed.open("wb") as printed:
            self.process = subprocess.Popen([sys.executable, *words], cwd=HERE, env=told, stderr=said, stdout=printed)
        self.pid = self.process.pid

    def said(self) -> list[str]:
        """The lines it has written to standard error."""
        return self._said.read_text("utf-8").splitlines()

    def printed(self) -> str:
        """What it has written to standard output."""
        return self._printed.read_text("utf-8")

    def children(self) -> list[int]:
        """The worker processes there are now."""
        try:
            tasks = list(Path(f"/proc/{self.pid}/task").iterdir())
            return [int(pid) for task in tasks for pid in (task / "children").read_text("ascii").split()]
        except OSError:
            return []

    def tree(self) -> list[int]:
        return [self.pid, *self.children()]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self, seconds: float = 30.0) -> int:
        """TERM, and wait; returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def close(self) -> None:
        """Leave nothing behind."""
        for pid in self.tree()[1:]:
            send(pid, signal.SIGKILL)
        self.kill()


def send(pid: int, number: int) -> None:
    """Signal a process that may be gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait for a condition that nothing announces."""
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what} (PENSTOCK_CHAOS_SEED={SEED})"
        pause.wait(0.02)


def wait_for_exits(pids: list[int], seconds: float) -> list[int]:
    """Wait for processes to end, parents or not; returns those that have not within the time."""
    poll, open_ones = select.poll(), {}
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        open_ones[descriptor] = pid
        poll.register(descriptor, select.POLLIN)
    deadline = time.monotonic() + seconds
    while open_ones and (left := deadline - time.monotonic()) > 0:
        for descriptor, _ in poll.poll(left * 1000):
            poll.unregister(descriptor)
            os.close(descriptor)
            del open_ones[descriptor]
    for descriptor in open_ones:
        os.close(descriptor)
    return list(open_ones.values())
