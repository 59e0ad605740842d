"""`penstock status --watch`: the queue as it is, again and again, until a key is pressed."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import time
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from types import FrameType

import click
import msgspec
from rich.console import Console
from rich.live import Live

from penstock.brokers.inspect import GLANCE, Inspector, QueueCounts, WorkerRecord, of_users
from penstock.cli.panels import View, draw
from penstock.cli.place import Place, find_place
from penstock.core.metrics import COARSE
from penstock.core.summary import Summary, span_for, summarize
from penstock.errors import StoreError
from penstock.worker.upkeep import DEAD_AFTER

#: Seconds between two looks, at least; a look that takes long is followed by a rest ten times as long.
_EVERY = 2.0
_REST = 10.0


def watch_place(where: str | None, last: float) -> None:
    """Show a queue until q is pressed, or Ctrl-C.

    Parameters:
        where: an app, a URL, or None for that of the settings.
        last: seconds that the figures over time cover.

    Raises:
        click.UsageError: nobody looks.
        StoreError: there is no such queue.
    """
    if not sys.stdout.isatty():
        raise click.UsageError("--watch draws on a terminal, and this is none: use --json")
    place = find_place(where)
    console = Console()
    # Told before the screen is taken: an error on it would be gone with it.
    with place.inspector() as inspector:
        view = _look(place, inspector, last)
    with (
        suppress(KeyboardInterrupt),
        _signals() as told,
        _keys(told) as pressed,
        Live(console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as live,
    ):
        _show(live, view)
        while True:
            try:
                with place.inspector() as inspector:
                    while True:
                        began = time.monotonic()
                        view = _look(place, inspector, last)
                        _show(live, view)
                        if pressed(max(_EVERY, _REST * (time.monotonic() - began))):
                            return
            except StoreError as error:
                view = msgspec.structs.replace(view, trouble=str(error), clock=_clock())
                _show(live, view)
                if pressed(_EVERY):
                    return


def _look(place: Place, inspector: Inspector, last: float) -> View:
    now = time.time()
    queues: Sequence[QueueCounts] = of_users(inspector.count(most=GLANCE))
    workers: Sequence[WorkerRecord] = inspector.workers()
    summary: Summary = summarize(inspector.metrics(now - last - COARSE, span=span_for(last)), last, now)
    return View(place.shown, _clock(), queues, workers, summary, DEAD_AFTER)


def _show(live: Live, view: View) -> None:
    size = live.console.size
    unicode = live.console.encoding.lower().startswith("utf")
    live.update(draw(view, size.width, size.height, unicode=unicode), refresh=True)


def _clock() -> str:
    return datetime.now(UTC).astimezone().strftime("%H:%M:%S")


class _Pressed:
    """Waits for the key, or the signal, that ends the watch.

    Parameters:
        told: can be read from once a signal has come.
        keys: the terminal, or None where nobody can press one.
    """

    def __init__(self, told: int, keys: int | None) -> None:
        self._told = told
        self._keys = keys

    def __call__(self, seconds: float) -> bool:
        """Did it come within so many seconds?"""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            asked = [self._told] if self._keys is None else [self._told, self._keys]
            ready = select.select(asked, [], [], left)[0]
            if self._told in ready:
                return True
            if self._keys is None or self._keys not in ready:
                return False
            said = os.read(self._keys, 1024)
            if not said:
                self._keys = None  # nobody is there to press one
            elif said.strip().lower().startswith((b"q", b"\x03", b"\x04")):
                return True
        return False


@contextmanager
def _signals() -> Iterator[int]:
    """What can be read from once SIGINT or SIGTERM has come; a second one interrupts whatever is under way."""
    told, tell = os.pipe()

    def note(number: int, _: FrameType | None) -> None:
        # Nothing is raised: in the middle of a drawing, or of a statement, it could be swallowed there.
        signal.signal(number, signal.default_int_handler)
        os.write(tell, b".")

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(told)
        os.close(tell)


@contextmanager
def _keys(told: int) -> Iterator[_Pressed]:
    """Single keys from the terminal, which is as it was afterwards."""
    if not sys.stdin.isatty():
        yield _Pressed(told, None)
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        # What was typed before counts, too.
        tty.setcbreak(descriptor, termios.TCSADRAIN)
        yield _Pressed(told, descriptor)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
