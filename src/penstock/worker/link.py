"""The socket between a supervisor and one of its processes: single bytes, after a line of JSON that says hello."""

from __future__ import annotations

import socket
from contextlib import suppress

import msgspec

from penstock.core.decide import Terms

# From the supervisor.
GO = b"g"  # registered: start to take jobs
WAKE = b"w"  # there may be work
AMONG = b"a"  # and 2 bytes: there is much work, and so many others were woken for it just now
STOP = b"t"  # finish what runs, then leave
QUIT = b"q"  # give everything back and leave now
DRAIN = b"d"  # too much memory: leave in order, and say LEAVING; another takes the place
CANCEL = b"c"  # and the 16 bytes of a job's id: interrupt it
SLOTS = b"n"  # and 2 bytes: how many slots may be used
CANARY = b"y"  # take from the worker's canary queue with the next exchange, too
# From the process.
IDLE = b"i"  # found nothing to do
STANDS = b"s"  # found nothing to do, and is sent jobs by the store as soon as there are any
BUSY = b"b"  # has many slots, said that it found nothing, and has since taken jobs without being woken
MORE = b"m"  # took as much as it could; there may be work for another
LEAVING = b"l"  # takes nothing more, and ends when what runs has ended: start another in its place
HERE = b"h"  # the store refuses and is tried again; this process is not stuck
LIMITED = b"k"  # the first job with a limit starts: look at the board from now on

#: Bytes of a job's id behind CANCEL.
ID_SIZE = 16
#: Bytes of the number behind SLOTS and AMONG, the greater first.
NUMBER_SIZE = 2


class Hello(msgspec.Struct, frozen=True):
    """What a process tells its supervisor when it has booted; the supervisor itself loads no user code.

    Parameters:
        terms: of each task by its name, so that the supervisor can judge the jobs of a process that died.
    """

    url: str
    queues: tuple[str, ...]
    tasks: tuple[str, ...]
    terms: dict[str, Terms] = {}


class Link:
    """The process's end."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)

    def hello(self, hello: Hello) -> None:
        """Say that the process has booted. The next command is the word to go, or that the supervisor is gone."""
        with suppress(OSError):
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

    def receive_number(self) -> int:
        """The number that comes behind SLOTS or AMONG; 0 when the supervisor is gone."""
        try:
            return int.from_bytes(self._socket.recv(NUMBER_SIZE, socket.MSG_WAITALL))
        except OSError:
            return 0

    def receive_id(self) -> bytes:
        """The job's id that comes behind CANCEL; empty when the supervisor is gone."""
        try:
            return self._socket.recv(ID_SIZE, socket.MSG_WAITALL)
        except OSError:
            return b""
