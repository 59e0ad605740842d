"""Signals as something to read from, so that they are handled between two steps and never in the middle of one."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_TAKEN = (signal.SIGTERM, signal.SIGINT)


class Signals:
    """TERM and INT, while the context of `taken` is open; elsewhere than in the main thread there are none."""

    def __init__(self) -> None:
        #: Readable when there are some.
        self.end, self._writer = socket.socketpair()
        for end in (self.end, self._writer):
            end.setblocking(False)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Take them from whoever had them."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before: list[tuple[int, Any]] = []
        descriptor = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        try:
            before += [(number, signal.signal(number, _noted)) for number in _TAKEN]
            yield
        finally:
            for number, handler in before:
                signal.signal(number, handler)
            signal.set_wakeup_fd(descriptor)

    def read(self) -> list[signal.Signals]:
        """Those that came since the last time."""
        try:
            return [signal.Signals(number) for number in self.end.recv(64) if number in _TAKEN]
        except BlockingIOError:
            return []

    def close(self) -> None:
        """Take no more."""
        self.end.close()
        self._writer.close()


def _noted(number: int, frame: object) -> None:
    """The wake-up descriptor tells; the handler only keeps Python's default from acting."""
