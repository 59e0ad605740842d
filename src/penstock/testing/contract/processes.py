"""Starting, hearing and killing the suite's other processes (`child.py`)."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import pytest

from penstock.testing.contract.harness import ContractBase

T = TypeVar("T")

#: Seconds within which a server is through with what it was sent.
_THROUGH = 0.1


class Child:
    """One process that works on the store; `go` starts it once it is ready."""

    def __init__(self, *arguments: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-W", "error", str(Path(__file__).with_name("child.py")), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )

    def line(self) -> str:
        """The next line it says, or an empty text at its end."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def wait_until_ready(self) -> None:
        """Return when it is set up."""
        assert self.line() == "ready", "the child process failed; what it wrote to standard error says why"

    def go(self, times: int = 1) -> None:
        """Let it begin; or go on, so many times, where it waits each time."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n" * times)
        self.process.stdin.flush()

    def finish(self) -> list[str]:
        """Let it run to its end; returns what it said."""
        lines = self.rest()
        assert self.process.wait() == 0
        return lines

    def kill(self) -> list[str]:
        """Kill it as `kill -9` does; returns what it had still said."""
        self.process.kill()
        lines = self.rest()
        self.process.wait()
        return lines

    def rest(self) -> list[str]:
        """Every line up to its end."""
        assert self.process.stdout is not None
        return [text.strip() for text in self.process.stdout if text.endswith("\n")]

    def close(self) -> None:
        """Leave nothing behind."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


class ProcessContract(ContractBase):
    """The fixture of the parts that need other processes."""

    @pytest.fixture
    def start(self) -> Iterator[Callable[..., Child]]:
        """Starts a child process, which is gone when the test ends."""
        with ExitStack() as stack:

            def start_one(*arguments: object) -> Child:
                child = Child(*arguments)
                stack.callback(child.close)
                return child

            yield start_one


def together(children: list[Child]) -> None:
    """Let all of them begin at the same moment."""
    for child in children:
        child.wait_until_ready()
    for child in children:
        child.go()


def claimed(lines: list[str]) -> list[list[bytes]]:
    """The ids of each exchange that `drain` told of."""
    return [[bytes.fromhex(id) for id in line.split()[1:]] for line in lines if line.startswith("claimed ")]


def settled(look: Callable[[], T]) -> T:
    """What a look comes to once the server is through with what a killed process had sent: it may carry that out, and commit it, after the process has died."""
    pause, seen = threading.Event(), None
    while (now := look()) != seen:
        seen = now
        pause.wait(_THROUGH)
    return now
