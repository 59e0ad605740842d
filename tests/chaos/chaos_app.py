"""The tasks that the chaos tests run, and the note each run makes for the oracle."""

import asyncio
import ctypes
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from uuid import UUID

from penstock import Backoff, Penstock, current_job


class Side(Enum):
    BUY = "buy"
    SELL = "sell"


@dataclass
class Order:
    id: UUID
    price: Decimal
    side: Side
    at: datetime
    tags: dict[str, list[int]]


def noting(log: str) -> Callable[[str, int], None]:
    """What notes a run: one line, in one write to a file opened for appending, which no kill can tear."""
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def note(what: str, number: int) -> None:
        where = f"{os.getpid()} {time.monotonic():.6f} {current_job().attempt} {time.thread_time():.6f}"
        line = f"{what} {number} {where}\n"
        os.write(descriptor, line.encode())

    return note


def make(url: str, log: str) -> Penstock:
    """The app; `log` is the oracle's file, and what is called a gate is a file that a task waits for."""
    app, note = Penstock(url), noting(log)
    add_short_tasks(app, note)
    add_freezing_tasks(app, note)
    add_deadly_tasks(app, note)
    add_typed_tasks(app)
    return app


def add_short_tasks(app: Penstock, note: Callable[[str, int], None]) -> None:
    @app.task(name="short", backoff=Backoff(0.01))
    def short(number: int, microseconds: int = 0) -> None:
        end = time.perf_counter() + microseconds / 1e6
        while time.perf_counter() < end:
            pass
        note("run", number)

    # However often: whoever is killed at random is no suspect.
    @app.task(name="waiting", crash_limit=1000)
    def waiting(number: int, milliseconds: int) -> None:
        note("start", number)
        if milliseconds:  # a sleep of none gives the processor away, which may take long to come back
            time.sleep(milliseconds / 1000)
        note("run", number)

    @app.task(name="awaiting", crash_limit=1000)
    async def awaiting(number: int, milliseconds: int) -> None:
        note("start", number)
        await asyncio.sleep(milliseconds / 1000)
        note("run", number)

    @app.task(name="held")
    def held(number: int, gate: str) -> None:
        note("start", number)
        wait_for(Path(gate))
        note("run", number)

    @app.task(name="once", at_most_once=True)
    def once(number: int, gate: str) -> None:
        note("start", number)
        wait_for(Path(gate))

    @app.task(name="deaf")
    def deaf(number: int) -> None:
        note("start", number)
        sum(range(10**12))  # never lets go of the GIL


def add_freezing_tasks(app: Penstock, note: Callable[[str, int], None]) -> None:
    """For their time nothing else runs in their thread, their event loop, or their process."""

    @app.task(name="spinning")
    def spinning(number: int, seconds: float) -> None:
        note("start", number)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pass
        note("run", number)

    @app.task(name="blocking")
    async def blocking(number: int, seconds: float) -> None:
        note("start", number)
        time.sleep(seconds)  # noqa: ASYNC251
        note("run", number)

    @app.task(name="clutched")
    def clutched(number: int, seconds: float) -> None:
        note("start", number)
        ctypes.PyDLL(None).usleep(int(seconds * 1e6))  # called with the GIL in hand
        note("run", number)


def add_deadly_tasks(app: Penstock, note: Callable[[str, int], None]) -> None:
    @app.task(name="deadly")
    def deadly(number: int, how: str) -> None:
        note("start", number)
        match how:
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
                threading.Event().wait()
            case "segfault":
                logging.getLogger("chaos").warning("number %d reads where nothing is", number)
                ctypes.string_at(0)
            case "exit 1":
                os._exit(1)
            case "exit 0":
                os._exit(0)

    @app.task(name="item")
    def item(number: int) -> None:
        if number < 0:
            os.kill(os.getpid(), signal.SIGKILL)
            threading.Event().wait()
        note("run", number)


def add_typed_tasks(app: Penstock) -> None:
    @app.task(name="nothing", retries=0)
    def nothing() -> None: ...

    @app.task(name="plain", retries=0)
    def plain(a: int, b: str = "", *, c: float = 0.0) -> None: ...

    @app.task(name="untyped", retries=0)
    def untyped(a, b=None): ...

    @app.task(name="number", retries=0)
    def number(number: int) -> None: ...

    @app.task(name="many", retries=0)
    def many(*numbers: int, **named: bytes) -> None: ...

    @app.task(name="order", retries=0)
    def order(order: Order, also: list[Order] | None = None) -> None: ...


def wait_for(gate: Path) -> None:
    pause = threading.Event()
    while not gate.exists():
        pause.wait(0.01)
