"""Heartbeats where the upkeep is held up: its connection has fallen silent, or what it asked for takes long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing

from penstock.brokers import connect
from penstock.brokers.base import Broker
from penstock.errors import StoreError


class Pacemaker:
    """A thread that sleeps for as long as the upkeep beats in time, and beats by a connection of its own while it does not.

    A connection may fall silent without a word, and a driver may wait a minute until it says so. Others take the worker for dead much
    sooner, and its jobs, which run on, would run twice.

    Parameters:
        url: of the broker.
        beat: sends a heartbeat by a broker that is open; called in this thread.
        every: seconds between heartbeats. The upkeep's is late when it is overdue by half of that.
    """

    def __init__(self, url: str, beat: Callable[[Broker], object], every: float) -> None:
        self._url = url
        self._beat = beat
        self._every = every
        # When the upkeep sent its last heartbeat; None before the first.
        self._beaten_at: float | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="penstock-pacemaker", daemon=True)

    def start(self) -> None:
        """Start; it does nothing until the upkeep has beaten for the first time."""
        self._thread.start()

    def beaten(self, at: float) -> None:
        """In the upkeep's thread: a heartbeat is stored that was sent at a time (monotonic seconds)."""
        self._beaten_at = at

    def stop(self) -> None:
        """End: no heartbeat comes after this, unless the store does not answer one that is under way."""
        self._stopping.set()
        self._thread.join(self._every)

    def _run(self) -> None:
        while not self._stopping.wait(self._late_in()):
            if self._late_in() <= 0:
                self._stand_in()

    def _late_in(self) -> float:
        """Seconds until the upkeep is late; 0 where it is."""
        if self._beaten_at is None:
            return self._every
        return max(0.0, self._beaten_at + 1.5 * self._every - time.monotonic())

    def _stand_in(self) -> None:
        """Beat until the upkeep has beaten again."""
        seen = self._beaten_at
        try:
            with closing(connect(self._url)) as broker:
                broker.open()
                while self._beaten_at == seen and not self._stopping.is_set():
                    self._beat(broker)
                    self._stopping.wait(self._every)
        except StoreError:
            # The upkeep tells of it when its own call fails.
            self._stopping.wait(self._every)
