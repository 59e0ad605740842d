"""The socket between a supervisor and one of its processes: single bytes, after a line of JSON that says hello."""

from __future__ import annotations

import socket
from contextlib import suppress

import msgspec

# From the supervisor.
GO = b"g"  # registered: start to take jobs
WAKE = b"w"  # there may be work
STOP = b"t"  # finish what runs, then leave
QUIT = b"q"  # give everything back and leave now
# From the process.
IDLE = b"i"  # found nothing to do
MORE = b"m"  # took as much as it could; there may be work for another


class Hello(msgspec.Struct, frozen=True):
    """What a process tells its supervisor when it has booted; the supervisor itself loads no user code."""

    url: str
    queues: tuple[str, ...]
    tasks: tuple[str, ...]


class Link:
    """The process's end."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)

    def hello(self, hello: Hello) -> None:
        """Say that the process has booted. The next command is the word to go."""
        self._socket.sendall(msgspec.json.encode(hello) + b"\n")

    def send(self, message: bytes) -> None:
        """Tell the supervisor something; if it is gone, its own end will tell."""
        with suppress(OSError):
            self._socket.send(message)

    def receive(self) -> bytes:
        """The next command, one byte; empty when the supervisor is gone.

        One at a time: a STOP that comes right behind the word to go must not be taken for a part of it.
        """
        try:
            return self._socket.recv(1)
        except OSError:
            return b""
