"""One store's half of a soak: its worker, those who enqueue, and the samples of them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median, quantiles

from benchmarks.peers import processes
from benchmarks.peers.peer import last_line
from benchmarks.places import ROOT, until
from benchmarks.soak.app import FOLDER
from benchmarks.soak.marks import Count, Marks, Probes
from benchmarks.soak.samples import Ended, Plan, Sample
from benchmarks.soak.stores import Store
from penstock.brokers import connect

_START, _STOP = 120.0, 30.0


class SoakError(Exception):
    """A process of the run ended by itself."""


class Run:
    """Watches from outside. Not thread-safe.

    Parameters:
        place: a folder for the shared files and logs.
    """

    def __init__(self, store: Store, plan: Plan, place: Path) -> None:
        self.store = store
        self._plan = plan
        self._place = place
        probes = int(plan.seconds * plan.probes)
        self._marks = Marks.made(place / "marks", plan.jobs)
        self._probes = Probes.made(place / "probes", probes)
        self._sent, self._probed = Count.made(place / "sent"), Count.made(place / "probed")
        self._pending: list[int] = []
        self._seen = 0
        self._last = (0, time.monotonic())
        self._worker = self._started("worker", "penstock", "worker", "benchmarks.soak.app:app", "-c", "2")
        with closing(connect(store.url)) as broker:
            broker.open()
            until(lambda: bool(broker.inspector().workers()), limit=_START)
        self._senders = [
            self._started("bulk", "benchmarks.soak.producer", "bulk", str(plan.jobs), str(plan.jobs / plan.seconds)),
            self._started("probing", "benchmarks.soak.producer", "probes", str(probes), str(plan.probes)),
        ]

    def sample(self, at: float, *, held: bool) -> Sample:
        """As it is now. Raises `SoakError` where a process is gone that should be there."""
        self._check()
        waits, worker = self._waits(), processes.family(self._worker.pid)
        sent = self._sent.value
        started = self._marks.started(sent)
        if started > self._last[0]:
            self._last = (started, time.monotonic())
        server = [] if self.store.pid is None else processes.family(self.store.pid)
        senders = [process.pid for process in self._senders if process.poll() is None]
        return Sample(
            store=self.store.name,
            at=at,
            held=held,
            sent=sent,
            started=started,
            probes=len(waits),
            p50=median(waits) if waits else None,
            p99=quantiles(waits, n=100, method="inclusive")[98] if len(waits) > 1 else None,
            cpu=processes.used(worker),
            cpu_server=processes.used(server),
            memory=processes.memory(worker),
            memory_senders=processes.memory(senders) if senders else 0.0,
            load=os.getloadavg()[0],
            kept=self.store.kept(),
        )

    def over(self, patience: float) -> bool:
        """Has everything been sent and ended, or has nothing started for so many seconds though all was sent?"""
        if any(process.poll() is None for process in self._senders):
            return False
        marks, probes = self._marks.account(), self._probes.account(self._probed.value)
        if time.monotonic() - self._last[1] > patience:
            return True
        # One that has failed has started, and is to run again.
        return not ((marks + probes).lost or self._left())

    def ended(self) -> Ended:
        """What came out; the worker is ended before."""
        self._stop()
        sent = self._probed.value
        found = self._marks.account() + self._probes.account(sent)
        left = self._left()
        return Ended(self.store.name, self._sent.value, sent, found.lost, found.doubled, left, self.store.kept())

    def close(self) -> None:
        """End all processes."""
        self.store.release()
        self._stop()

    def _stop(self) -> None:
        for process in (*self._senders, self._worker):
            if process.poll() is None:
                process.terminate()
        for process in (*self._senders, self._worker):
            try:
                process.wait(_STOP)
            except subprocess.TimeoutExpired:
                process.kill()

    def _left(self) -> int:
        """Jobs that the store still holds, but for dead letters."""
        with closing(connect(self.store.url)) as broker:
            broker.open()
            return sum(each.ready + each.running + each.delayed + each.parked for each in broker.inspector().count())

    def _check(self) -> None:
        for process in (self._worker, *self._senders):
            status = process.poll()
            if status or (status == 0 and process is self._worker):
                told = [last_line(log.read_text("utf-8", "replace")) for log in sorted(self._place.glob("*.log"))]
                raise SoakError(f"on {self.store.name} {process.args!r} ended with {status}: {'; '.join(told)}")

    def _waits(self) -> list[float]:
        """Milliseconds from the call that enqueued to the first line, of the probes that started since the last look."""
        sent = self._probed.value
        self._pending += range(self._seen, sent)
        self._seen = sent
        found = {number: self._probes[number] for number in self._pending}
        self._pending = [number for number, (_, _, starts) in found.items() if not starts]
        return [(started - sent) * 1000 for sent, started, starts in found.values() if starts]

    def _started(self, name: str, *module: str) -> subprocess.Popen[bytes]:
        variables = {**os.environ, "PENSTOCK_URL": self.store.url, FOLDER: str(self._place)}
        with (self._place / f"{name}.log").open("ab") as log:
            return subprocess.Popen([sys.executable, "-m", *module], cwd=ROOT, env=variables, stderr=log)


@contextmanager
def running(store: Store, plan: Plan, place: Path) -> Iterator[Run]:
    """Start everything on a store; at the end all of it is ended."""
    run = Run(store, plan, place)
    try:
        yield run
    finally:
        run.close()
