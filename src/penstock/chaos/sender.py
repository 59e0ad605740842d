"""Sends a trial's jobs at a steady rate, through whatever happens to the store."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from penstock.app import Penstock
from penstock.chaos.app import QUEUE
from penstock.errors import PenstockError, StoreUnavailable

#: Jobs that are handed in together.
_CHUNK = 200
_PAUSE = 0.02
#: Seconds before what got no answer is handed in once more.
_AGAIN = 0.2


class Sender(threading.Thread):
    """A thread that sends, from `start` to `close`.

    Parameters:
        app: of the trial.
        notes: path of the notebook.
        jobs: how many.
        seconds: in which they are sent.
        each: seconds that a job takes.
    """

    def __init__(self, app: Penstock, notes: Path, jobs: int, seconds: float, each: float) -> None:
        super().__init__(name="penstock-chaos-sender", daemon=True)
        self._app = app
        self._notes = str(notes)
        self._jobs = jobs
        self._seconds = seconds
        self._each = each
        self._closed = threading.Event()
        #: Set when workers are up. Until then one job is there for them.
        self.ready = threading.Event()
        #: The numbers of the jobs that the store has confirmed, and of those that were handed in more than once for it.
        self.sent: set[int] = set()
        self.resent: set[int] = set()
        #: What ended it before its time.
        self.trouble: PenstockError | None = None

    def run(self) -> None:
        """See `threading.Thread.run`."""
        try:
            self._send(range(1))
            self.ready.wait()
            self._send_the_rest()
        except PenstockError as error:
            self.trouble = error

    def close(self) -> None:
        """Send no more."""
        self._closed.set()
        self.ready.set()
        self.join()

    def _send_the_rest(self) -> None:
        began, next_one = time.monotonic(), 1
        while next_one < self._jobs and not self._closed.is_set():
            due = min(self._jobs, int(self._jobs * (time.monotonic() - began) / self._seconds) + 1)
            if due <= next_one:
                self._closed.wait(_PAUSE)
                continue
            numbers = range(next_one, min(due, next_one + _CHUNK))
            self._send(numbers)
            next_one = numbers.stop

    def _send(self, numbers: range) -> None:
        task = self._app.tasks[QUEUE]
        # The same ids each time: what was stored all the same is left as it is, where the store knows them again.
        jobs = [task.job((number, self._notes, self._each), {}) for number in numbers]
        client = self._app.client
        # Not by the client's own `enqueue`, which hands in once more without a word.
        jobs = jobs if client.signing is None else client.signing.jobs(jobs)
        while not self._closed.is_set():
            try:
                with client.broker() as broker:
                    broker.enqueue(jobs)
            except StoreUnavailable:
                self.resent.update(numbers)
                self._closed.wait(_AGAIN)
            else:
                self.sent.update(numbers)
                return
