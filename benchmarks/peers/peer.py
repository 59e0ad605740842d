"""What a contestant is: how to install it, how its worker is started, and the module of its app."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import venv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.places import ROOT

#: The environment variables that tell an app its broker and its database.
URL, DATABASE = "PENSTOCK_PEERS_URL", "PENSTOCK_PEERS_DATABASE"
_PLACE = ROOT / ".peers"


class Peer(msgspec.Struct, frozen=True, eq=False):
    """A task queue. Adding one is a file beside this one with a `PEER`, and the module of its app.

    Parameters:
        name: what it is called.
        app: the module of its app, which runs in its own interpreter. It has `one(number)` and `many(numbers)`, which enqueue
            `benchmarks.peers.slots.mark`; where `rows`, `order(record)`, which enqueues an order for a table.
        worker: the words after `python` that start its worker with two processes.
        settings: by the name of a broker that it is measured on, what was chosen for it, in words.
        packages: what is installed for it into an environment of its own; none for Penstock, which is there.
        rows: it is measured by rows that it stores, not by jobs that it runs.
    """

    name: str
    app: str
    worker: tuple[str, ...]
    settings: Mapping[str, str]
    packages: tuple[str, ...] = ()
    rows: bool = False

    def interpreter(self) -> str:
        """Its Python, with its packages; installs them when they are not there, or others are wanted."""
        if not self.packages:
            return sys.executable
        place = _PLACE / self.app.rpartition(".")[2].removesuffix("_app")
        python, stamp, wanted = place / "bin" / "python", place / "packages.txt", "\n".join(self.packages)
        if not stamp.exists() or stamp.read_text("utf-8") != wanted:
            shutil.rmtree(place, ignore_errors=True)
            venv.create(place, with_pip=True)
            install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *self.packages]
            if subprocess.run(install, check=False).returncode:
                raise SystemExit(f"{self.name} could not be installed: try {' '.join(install)}")
            stamp.write_text(wanted, "utf-8")
        return str(python)

    def versions(self) -> str:
        """Of its packages, as they are installed."""
        names = [package.partition("==")[0].partition("[")[0] for package in self.packages] or ["penstock"]
        code = f"from importlib.metadata import version as v\nprint(*(f'{{n}} {{v(n)}}' for n in {names}), sep=', ')"
        told = subprocess.run([self.interpreter(), "-c", code], stdout=subprocess.PIPE, text=True, check=True)
        return told.stdout.strip()

    @contextmanager
    def running(self, environment: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
        """Its worker, for as long as the context is open."""
        command = [self.interpreter(), *self.worker]
        with (
            log.open("ab") as output,
            subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, **environment}, stdout=output, stderr=output
            ) as process,
        ):
            try:
                yield process
            finally:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()

    def client(self, environment: Mapping[str, str], *words: str | int) -> subprocess.Popen[str]:
        """A program that enqueues: see `benchmarks.peers.client`."""
        command = [self.interpreter(), "-m", "benchmarks.peers.client", self.app, *map(str, words)]
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def enqueue(self, environment: Mapping[str, str], *words: str | int) -> dict[str, Any]:
        """Run that program to its end; returns what it tells."""
        client = self.client(environment, *words)
        told, _ = client.communicate()
        if client.returncode:
            raise SystemExit(f"{self.name} could not enqueue: see above")
        return dict(msgspec.json.decode(told))
