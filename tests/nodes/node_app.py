"""The tasks that the nodes run, and the note each run makes: one line, in one write, of what ran where and when."""

import os
import threading
import time
from pathlib import Path

from penstock import Backoff, Job, Penstock, current_job
from penstock.core.ids import parse_id


def make(url: str, log: str, name: str) -> Penstock:
    """The app; `log` is the oracle's file, `name` the node's."""
    app = Penstock(url)
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def note(what: str, number: int) -> None:
        line = f"{what} {number} {name} {time.monotonic():.6f} {current_job().attempt}\n"
        os.write(descriptor, line.encode())

    @app.task(name="quick")
    def quick(number: int) -> None:
        time.sleep(0.005)
        note("run", number)

    @app.task(name="held")
    def held(number: int, gate: str) -> None:
        note("start", number)
        pause = threading.Event()
        while not Path(gate).exists():
            pause.wait(0.01)
        note("end", number)

    @app.task(name="flaky", retries=1, backoff=Backoff(2.0))
    def flaky(number: int) -> None:
        note("try", number)
        if current_job().attempt == 1:
            raise ConnectionError("the first time it fails")

    @app.task(name="value", result_ttl=60)
    def value(number: int) -> int:
        note("run", number)
        return number

    return app


def handle(id: str) -> Job[int]:
    """The job of an id, sent by whomever."""
    return Job(app.client, parse_id(id))


if "NODE_URL" in os.environ:
    app = make(os.environ["NODE_URL"], os.environ["NODE_LOG"], os.environ["NODE_NAME"])
