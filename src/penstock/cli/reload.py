"""`penstock worker --reload`: a worker that is started anew whenever the source has changed. For development."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from penstock.cli.parent import RELOADER

#: Seconds between two looks at the files. A thousand of them take 5 ms.
_EVERY = 0.4
_LEFT_ALONE = {"__pycache__", "node_modules", "site-packages"}
#: Files other than Python's that a worker reads as it starts.
_SETTINGS = {"penstock.toml", "pyproject.toml"}


class Sources:
    """The source files below a folder, without those of virtual environments and of hidden folders.

    Parameters:
        folder: usually the one that the worker runs in.
    """

    def __init__(self, folder: str | Path = ".") -> None:
        self._folder = str(folder)
        self._seen = self._look()

    def changed(self) -> list[str]:
        """The files that were written, made or removed since the last time; sorted."""
        before, self._seen = self._seen, self._look()
        return sorted({path for path, _ in before.items() ^ self._seen.items()})

    def _look(self) -> dict[str, tuple[int, int]]:
        return dict(self._files(self._folder))

    def _files(self, folder: str) -> Iterator[tuple[str, tuple[int, int]]]:
        try:
            entries = list(os.scandir(folder))
        except OSError:  # removed meanwhile, or not ours to read
            return
        if any(entry.name == "pyvenv.cfg" for entry in entries):
            return
        for entry in entries:
            with suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    if not entry.name.startswith(".") and entry.name not in _LEFT_ALONE:
                        yield from self._files(entry.path)
                elif entry.name.endswith(".py") or entry.name in _SETTINGS:
                    found = entry.stat()
                    yield os.path.relpath(entry.path, self._folder), (found.st_mtime_ns, found.st_size)


def find_error(folder: str | Path, paths: Sequence[str]) -> str | None:
    """The first error of syntax in these files, in one line; None where all can be read."""
    for path in paths:
        try:
            source = (Path(folder) / path).read_bytes()
        except OSError:
            continue
        if path.endswith(".py"):
            try:
                compile(source, path, "exec", dont_inherit=True)
            except (SyntaxError, ValueError) as error:
                line = getattr(error, "lineno", None)
                return f"{path}{'' if line is None else f', line {line}'}: {getattr(error, 'msg', error)}"
    return None


class Reloader:
    """Keeps a worker that was started with the present source, beside older ones that end what they run.

    Parameters:
        command: starts the worker.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)
        self._workers: list[subprocess.Popen[bytes]] = []
        self._signals: list[int] = []
        self._told = False
        self._woken = threading.Event()

    def run(self) -> int:
        """Until a signal has ended all workers; returns an exit status."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)
        sources = Sources()
        self._start()
        while not self._stopped():
            self._woken.wait(_EVERY)
            self._woken.clear()
            changed = [] if self._told else sources.changed()
            if changed:
                self._renew(changed)
        return 0

    def _note(self, number: int, frame: Any) -> None:
        self._signals.append(number)
        self._woken.set()

    def _stopped(self) -> bool:
        """Hand on the signals that came; has everything ended after one?"""
        while self._signals:
            self._told = True
            number = self._signals.pop(0)
            for worker in self._workers:
                worker.send_signal(number)
        for worker in [each for each in self._workers if each.poll() is not None]:
            newest = worker is self._workers[-1]
            self._workers.remove(worker)
            if newest and not self._told:
                click.echo("penstock: the worker has ended; waiting for a change of its source", err=True)
        return self._told and not self._workers

    def _renew(self, changed: Sequence[str]) -> None:
        """Start a worker with the new source and have the old one stop, unless the source can't be read."""
        names = f"{', '.join(changed[:3])}{f' and {len(changed) - 3} more' if len(changed) > 3 else ''}"
        error = find_error(".", changed)
        if error is not None:
            click.echo(f"penstock: {error}; waiting for the next change", err=True)
            return
        click.echo(f"penstock: {names} changed: starting anew", err=True)
        for worker in self._workers:
            if worker.poll() is None:
                worker.terminate()
        self._start()

    def _start(self) -> None:
        # What was compiled within the same second, of the same size, would be taken for the present source.
        environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", RELOADER: str(os.getpid())}
        # In a group of its own: Ctrl-C comes here, and goes to each worker once.
        self._workers.append(subprocess.Popen(self._command, env=environment, process_group=0))
