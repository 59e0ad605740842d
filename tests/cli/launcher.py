"""A program that has `penstock` loaded, and becomes it for one command after another, each in a forked process of its own.

To start `python -m penstock` anew is most of what a short command does; of those there are hundreds here.
"""

import importlib
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

#: What most commands load.
LOADED = ("penstock.cli.main", "penstock.cli.output", "penstock.brokers.sqlite.broker")
_SECONDS = 60
_LONGEST = 1 << 18


class Launcher:
    """The other end of that program."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._asking, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._program = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())], env=environment, pass_fds=[theirs.fileno()]
            )

    def run(self, words: list[str], folder: Path, environment: dict[str, str], input: str) -> tuple[int, str, str]:
        """Run a command in a folder to its end; returns its exit code, and what it wrote to its output and its errors."""
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            given.write(input.encode())
            given.seek(0)
            code, told = os.pipe()
            with open(code, "rb") as code_file:
                order = json.dumps([words, str(folder), environment]).encode()
                socket.send_fds(self._asking, [order], [given.fileno(), out.fileno(), err.fileno(), told])
                os.close(told)
                if not select.select([code_file], [], [], _SECONDS)[0]:
                    raise TimeoutError(f"penstock {' '.join(words)}: not within {_SECONDS} s")
                ended = int(code_file.read())
            for written in (out, err):
                written.seek(0)
            return ended, out.read().decode(), err.read().decode()

    def close(self) -> None:
        self._asking.close()
        self._program.wait(_SECONDS)


def serve(asked: socket.socket) -> None:
    """Take orders until the other end is closed."""
    while True:
        order, descriptors, _, _ = socket.recv_fds(asked, _LONGEST, 4)
        if not order:
            return
        # Whoever waits for the command is a process as well, so that several may run.
        if os.fork() == 0:
            asked.close()
            keep(order, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                """Those that have ended."""


def keep(order: bytes, descriptors: list[int]) -> None:
    """Fork the command, and tell its exit code."""
    told = descriptors.pop()
    child = os.fork()
    if child == 0:
        os.close(told)
        become(*json.loads(order), descriptors)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.write(told, str(code).encode())
    os._exit(0)


def become(words: list[str], folder: str, environment: dict[str, str], descriptors: list[int]) -> NoReturn:
    """Go on as `python -m penstock` does."""
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[0] = folder
    sys.modules["penstock.cli.main"].main(words)
    raise AssertionError("a command ends its program")


if __name__ == "__main__":
    for module in LOADED:
        importlib.import_module(module)
    serve(socket.socket(fileno=int(sys.argv[1])))
