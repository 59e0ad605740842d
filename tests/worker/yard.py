"""A supervisor with real processes, run in a thread of the test's own."""

import runpy
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from penstock import Penstock
from penstock.events.emit import Emitter, Event
from penstock.worker.lane import Lane
from penstock.worker.program import Program
from penstock.worker.supervisor import Supervisor

SECONDS = 20.0

APP = """
import faulthandler, logging, os, signal, subprocess, sys, threading, time
from pathlib import Path
from penstock import Backoff, Penstock, current_job

app = Penstock({url!r})
FOLDER = Path({folder!r})

def note(what):
    with open(FOLDER / "notes", "a") as file:
        file.write(f"{{what}} {{os.getpid()}}\\n")
"""


class Yard:
    """A folder with an app in it, and the supervisors that run it."""

    def __init__(self, folder: Path, url: str, tasks: str = "") -> None:
        self.folder = folder
        self.url = url
        self.events: list[Event] = []
        self.emitter = Emitter()
        self.emitter.subscribe(Event, self.events.append)
        self._running: list[tuple[Supervisor, threading.Thread]] = []
        self.write(tasks)

    def write(self, tasks: str) -> None:
        """The app's module, with these tasks."""
        path = self.folder / "yard_app.py"
        path.write_text(APP.format(url=self.url, folder=str(self.folder)) + tasks)
        self.app: Penstock = runpy.run_path(str(path), run_name="yard_app")["app"]

    def start(self, *lanes: Lane, **options: Any) -> Supervisor:
        """Run a supervisor of these lanes; without any, of one of two processes."""
        supervisor = Supervisor(
            Program("penstock.cli.process"), lanes or [Lane("yard_app:app", 2)], self.emitter, **options
        )
        return self.run(supervisor)

    def run(self, supervisor: Supervisor) -> Supervisor:
        """Run one that is made already."""
        thread = threading.Thread(target=supervisor.run, kwargs={"every": 0.5}, daemon=True)
        thread.start()
        self._running.append((supervisor, thread))
        return supervisor

    def send(self, task: str, *arguments: Any) -> bytes:
        """Enqueue a job of a task; returns its id."""
        return self.app.tasks[task].delay(*arguments).key

    def notes(self) -> list[str]:
        """What the tasks have noted, each with the process's id behind it."""
        path = self.folder / "notes"
        return path.read_text().splitlines() if path.exists() else []

    def of(self, kind: type[Event]) -> list[Event]:
        """The events of a kind so far."""
        return [event for event in self.events if isinstance(event, kind)]

    def stop(self, supervisor: Supervisor) -> None:
        """Twice, and wait: nothing of it is left."""
        for own, thread in self._running:
            if own is supervisor and thread.is_alive():
                supervisor.stop()
                supervisor.stop()
                thread.join(SECONDS)
                assert not thread.is_alive()

    def close(self) -> None:
        for supervisor, _ in self._running:
            self.stop(supervisor)
        self.app.close()


def until(condition: Callable[[], Any], what: str, seconds: float = SECONDS) -> None:
    """Wait for what nothing announces."""
    pause = threading.Event()
    for _ in range(int(seconds / 0.01)):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError(f"not within {seconds:g} s: {what}")
