"""What a contestant is: how to install it, how its worker is started, and the module of its app."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import msgspec

from benchmarks.peers import processes
from benchmarks.places import ROOT

#: The environment variables that tell an app its broker and its database.
URL, DATABASE = "PENSTOCK_PEERS_URL", "PENSTOCK_PEERS_DATABASE"
_PLACE = ROOT / ".peers"
#: Seconds for one `pip install`, for a worker to stop, and for a client to have all in.
_INSTALL, _STOP, _CLIENT = 300.0, 10.0, 120.0


class PeerError(Exception):
    """A peer could not do its part; the message is the reason in its row of the table."""


class Setup(msgspec.Struct, frozen=True):
    """A peer on one store.

    Parameters:
        words: what was chosen for it, and why, for the reader.
        jobs: of which it is given a share: so many that a drain of all takes it some seconds.
    """

    words: str
    jobs: int


class Peer(msgspec.Struct, frozen=True, eq=False):
    """A task queue. Adding one is a file in `contestants` with a `PEER`, and the module of its app in `apps`.

    Parameters:
        name: what it is called.
        app: the name of its app's module, which runs in its own interpreter: see `benchmarks.peers.client`.
        worker: the words after `python` that start its worker; with two processes, or else it is started twice.
        setups: by the name of the store that it is measured on.
        packages: what is installed for it into an environment of its own; none for Penstock, which is there.
        workers: how often its worker is started.
        variables: of its worker's and its client's environment, where its app is set up in several ways.
        url: the environment variable that its documentation has a broker's URL in, where it has one.
    """

    name: str
    app: str
    worker: tuple[str, ...]
    setups: Mapping[str, Setup]
    packages: tuple[str, ...] = ()
    workers: int = 1
    variables: Mapping[str, str] = {}
    url: str = URL

    def interpreter(self) -> str:
        """Its Python, with its packages; installs them when they are not there, or others are wanted."""
        if not self.packages:
            return sys.executable
        place = _PLACE / self.app
        python, stamp, wanted = place / "bin" / "python", place / "packages.txt", "\n".join(self.packages)
        if not stamp.exists() or stamp.read_text("utf-8") != wanted:
            print(f"{self.name}: installing {', '.join(self.packages)} ...", file=sys.stderr, flush=True)
            shutil.rmtree(place, ignore_errors=True)
            venv.create(place, with_pip=True)
            self._install([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            stamp.write_text(wanted, "utf-8")
        return str(python)

    def _install(self, pip: Sequence[str]) -> None:
        try:
            done = subprocess.run([*pip, *self.packages], capture_output=True, text=True, check=False, timeout=_INSTALL)
        except subprocess.TimeoutExpired as error:
            raise PeerError(f"not installed: pip took longer than {_INSTALL:.0f} s") from error
        if done.returncode:
            why = [line.strip() for line in done.stderr.splitlines() if "error" in line.lower()] or ["pip failed"]
            raise PeerError(f"not installed: `pip install {' '.join(self.packages)}` says {why[-1]}")

    def versions(self) -> str:
        """Of its packages, as they are installed."""
        names = [package.partition("==")[0].partition("[")[0] for package in self.packages] or ["penstock"]
        code = f"from importlib.metadata import version as v\nprint(*(f'{{n}} {{v(n)}}' for n in {names}), sep=', ')"
        told = subprocess.run([self.interpreter(), "-c", code], stdout=subprocess.PIPE, text=True, check=True)
        return told.stdout.strip()

    @contextmanager
    def running(self, environment: Mapping[str, str], log: Path) -> Iterator[list[int]]:
        """Its worker, for as long as the context is open: the leaders of the sessions that its processes are in."""
        started: list[subprocess.Popen[bytes]] = []
        with log.open("wb") as output:
            try:
                # One by one, so that those that were started are ended where the next can't be.
                while len(started) < self.workers:
                    started.append(self._started(environment, output))
                yield [process.pid for process in started]
            finally:
                for process in started:
                    process.send_signal(signal.SIGTERM)
                until = time.monotonic() + _STOP
                for process in started:
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(max(0.1, until - time.monotonic()))
                for process in started:
                    processes.end(process.pid)
                    process.wait()

    def _started(self, environment: Mapping[str, str], output: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [self.interpreter(), *self.worker],
            cwd=ROOT,
            env=self._environment(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )

    def _environment(self, more: Mapping[str, str]) -> dict[str, str]:
        # As if its environment were activated: a worker may start others by the name of `python`.
        path = f"{Path(self.interpreter()).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        return {**os.environ, "PATH": path, **self.variables, **more, self.url: more[URL]}

    def client(self, environment: Mapping[str, str], *words: str | int) -> subprocess.Popen[str]:
        """A program that enqueues: see `benchmarks.peers.client`."""
        app = f"benchmarks.peers.apps.{self.app}"
        command = [self.interpreter(), "-m", "benchmarks.peers.client", app, *map(str, words)]
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=self._environment(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def enqueue(self, environment: Mapping[str, str], *words: str | int) -> dict[str, Any]:
        """Run that program to its end; returns what it tells."""
        return self.told(self.client(environment, *words), None)

    def told(self, client: subprocess.Popen[str], line: str | None) -> dict[str, Any]:
        """What a client tells at its end, after it is given a line or nothing."""
        with client:
            try:
                answer, errors = client.communicate(line, timeout=_CLIENT)
            except BaseException as error:
                client.kill()
                if isinstance(error, subprocess.TimeoutExpired):
                    raise PeerError(f"its client was not done after {_CLIENT:.0f} s") from error
                raise
        if client.returncode:
            raise PeerError(f"its client failed: {last_line(errors)}")
        return dict(msgspec.json.decode(answer.splitlines()[-1]))


def last_line(text: str) -> str:
    """Of a program's output: where an exception says what it is."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "it says nothing")
