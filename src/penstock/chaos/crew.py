"""The workers of a trial, and what can be done to them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from penstock.worker import tree

#: What each worker is.
_PROGRAM = "penstock.cli.chaos_worker"
#: Seconds that a worker has to end in order.
_PATIENCE = 40.0


class Crew:
    """Some workers, each with processes of its own.

    Parameters:
        url: of the store, as the workers reach it.
        workers, processes: how many workers, and processes of each.
        said: a folder for what each of them logs; it is made.
    """

    def __init__(self, url: str, workers: int, processes: int, said: Path) -> None:
        self._url = url
        self._processes = processes
        said.mkdir()
        self._folder = said
        self._said = dict[int, Path]()
        self._frozen: Sequence[int] = ()
        self._workers = [self._start() for _ in range(workers)]

    def kill_process(self, dice: random.Random) -> Sequence[int]:
        """kill -9 a process that runs jobs; returns its id, or nothing where none is up."""
        pids = sorted(
            pid for worker in self._workers if worker.pid not in self._frozen for pid in tree.descendants(worker.pid)
        )
        if not pids:
            return ()
        victim = dice.choice(pids)
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
        return (victim,)

    def kill_worker(self, dice: random.Random) -> Sequence[int]:
        """kill -9 a worker's main process, whose others die with it, and start another; returns their ids."""
        place = dice.randrange(len(self._workers))
        worker = self._workers[place]
        victims = _all_of(worker)
        worker.kill()
        worker.wait()
        self._workers[place] = self._start()
        return victims

    def freeze(self, dice: random.Random) -> Sequence[int]:
        """Stop a worker and its processes where they are, as a machine that sleeps, until `thaw`; returns their ids."""
        worker = dice.choice(self._workers)
        self._frozen = _all_of(worker)
        for pid in self._frozen:
            tree.freeze(pid)
        return self._frozen

    def thaw(self) -> None:
        """Let those go on that are frozen."""
        for pid in self._frozen:
            tree.thaw(pid)
        self._frozen = ()

    def failed(self) -> str | None:
        """How a worker ended that did so by itself, and the last thing that it said; None while all are up."""
        for worker in self._workers:
            if worker.poll() is not None:
                said = self._said[worker.pid].read_text("utf-8", "replace").strip().splitlines()
                return ": ".join([f"exit code {worker.returncode}", *said[-1:]])
        return None

    def revive(self) -> None:
        """Start those anew that ended by themselves, as whatever manages services does: one that comes up while the store is away gives up."""
        for place, worker in enumerate(self._workers):
            if worker.poll() is not None:
                self._workers[place] = self._start()

    def close(self) -> None:
        """Have all end in order, and kill who does not."""
        for worker in self._workers:
            with suppress(ProcessLookupError):
                worker.terminate()
        for worker in self._workers:
            try:
                worker.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()

    def _start(self) -> subprocess.Popen[str]:
        path = self._folder / str(len(self._said))
        with path.open("wb") as said:
            worker = subprocess.Popen(
                [sys.executable, "-m", _PROGRAM, str(self._processes), str(os.getpid())],
                stdin=subprocess.PIPE, stdout=said, stderr=said, text=True,
                # A Ctrl-C is for whoever watches; the workers are ended in order.
                start_new_session=True,
            )  # fmt: skip
        self._said[worker.pid] = path
        assert worker.stdin is not None
        with worker.stdin as stdin:
            stdin.write(f"{self._url}\n")
        return worker


def _all_of(worker: subprocess.Popen[str]) -> tuple[int, ...]:
    return (worker.pid, *tree.descendants(worker.pid))
