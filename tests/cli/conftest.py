"""The real command, run in a folder of its own against a real app and a real file."""

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from launcher import Launcher

SHOP = """
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from penstock import Penstock

app = Penstock("sqlite:///jobs.db")


@dataclass
class Line:
    sku: str
    price: Decimal


@app.task(retries=0)
def invoice(customer: str, cents: int = 5) -> str:
    if customer == "bad":
        raise ValueError("no such customer: \\x1b[31mred")
    return f"{customer} owes {cents}"


@app.task(retries=2, backoff=1000)
def call(number: str) -> None:
    raise ConnectionError("nobody answers")


@app.task(queue="mail")
def send(at: datetime, lines: list[Line], *, blob: bytes = b"") -> str:
    assert isinstance(at, datetime) and isinstance(lines[0].price, Decimal)
    return f"{at.year} {lines[0].price} {blob!r}"


@app.task
def hold() -> None:
    print("began", flush=True)
    Path("go").read_text()
    Path("ended").touch()


@app.task
def each(number: int) -> None: ...
"""


class Ended(NamedTuple):
    """What became of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)


Run = Callable[..., Ended]


def environment(**changes: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
    return clean | {"PYTHONWARNINGS": "error", "COLUMNS": "100"} | changes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an app, shop:app, whose queue is jobs.db."""
    (tmp_path / "shop.py").write_text(SHOP, "utf-8")
    return tmp_path


@pytest.fixture(scope="session")
def launcher() -> Iterator[Launcher]:
    with closing(Launcher(environment())) as launcher:
        yield launcher


@pytest.fixture
def penstock(folder: Path, launcher: Launcher) -> Run:
    """Run a command to its end, in that folder."""

    def run(*words: str, input: str = "", **changes: str) -> Ended:
        ended = Ended(*launcher.run(list(words), folder, environment(**changes), input))
        assert "/penstock/" not in ended.err, ended.err
        return ended

    return run


@pytest.fixture
def on_terminal(folder: Path) -> Run:
    """The same with a terminal for input and output."""

    def run(*words: str, input: str = "", **changes: str) -> Ended:
        ours, theirs = pty.openpty()
        os.write(ours, input.encode())
        process = subprocess.Popen(
            [sys.executable, "-m", "penstock", *words],
            cwd=folder,
            env=environment(TERM="xterm", **changes),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        said = b""
        try:
            while more := os.read(ours, 65536):
                said += more
        except OSError:  # how Linux says that the other end is closed
            pass
        finally:
            os.close(ours)
        return Ended(process.wait(60), said.decode().replace("\r\n", "\n"), "")

    return run


class Worker:
    """A worker that runs beside the test."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """Of its supervisor."""
        return self._process.pid

    def hear(self, words: str) -> None:
        """Read its log up to a line with these words."""
        assert self._process.stderr is not None
        heard = []
        for line in self._process.stderr:
            heard.append(line)
            if words in line:
                return
        raise AssertionError(f"it never said {words!r}: {''.join(heard)}")

    def printed(self) -> str:
        """The next line that a job printed."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self) -> int:
        """Its exit code, when it has ended."""
        self._process.communicate(timeout=60)
        return self._process.returncode


@pytest.fixture
def start_worker(folder: Path) -> Iterator[Callable[..., Worker]]:
    """Start a worker in that folder; it ends with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str, **changes: str) -> Worker:
        process = subprocess.Popen(
            [sys.executable, "-m", "penstock", "worker", *words],
            cwd=folder,
            env=environment(**changes),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return Worker(process)

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()
