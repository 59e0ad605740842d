"""What watches a site from outside: the notes that runs made on all its nodes."""

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from network import Node
from node_app import make

from penstock import Penstock
from penstock.brokers.inspect import of_users

#: The long form: `PENSTOCK_CHAOS=full pytest tests/nodes`.
FULL = os.environ.get("PENSTOCK_CHAOS") == "full"


class Note(NamedTuple):
    what: str
    number: int
    node: str
    at: float
    attempt: int


class Site:
    """Nodes, by how far their clocks are ahead, and the queue they share."""

    def __init__(self, url: str, folder: Path, nodes: Mapping[int, Node]) -> None:
        self.url = url
        self.folder = folder
        self.nodes = nodes
        self.log = folder / "log"
        self.app: Penstock = make(url, str(self.log), "outside")
        self._said: dict[int, Path] = {}

    def environment(self, clock: int) -> dict[str, str]:
        """What a program on a node is told."""
        return {"NODE_URL": self.url, "NODE_LOG": str(self.log), "NODE_NAME": str(clock)}

    def work(self, *clocks: int, concurrency: int = 1) -> None:
        """Start a worker on each of these nodes (or on all), and return when all are up."""
        for clock in clocks or self.nodes:
            words = ["worker", "node_app:app", "-c", str(concurrency)]
            self._said[clock] = self.nodes[clock].start(*words, **self.environment(clock))
        until(lambda: all(" takes " in self.said(clock) for clock in clocks or self.nodes), 30, "the workers are up")

    def said(self, clock: int) -> str:
        """What a node's worker has logged."""
        return self._said[clock].read_text("utf-8")

    def command(self, clock: int, *words: str) -> Any:
        """Run a `penstock` command on a node; returns the JSON it prints."""
        return json.loads(self.nodes[clock].run("-m", "penstock", *words, "--json", **self.environment(clock)))

    def program(self, clock: int, line: str) -> str:
        """Run a line of Python with the app on a node; returns what it prints."""
        return (
            self.nodes[clock].run("-c", f"from node_app import app, handle; {line}", **self.environment(clock)).strip()
        )

    def notes(self, *what: str) -> list[Note]:
        fields = (line.split() for line in self.log.read_text("ascii").splitlines())
        notes = [Note(w, int(number), node, float(at), int(attempt)) for w, number, node, at, attempt in fields]
        return [note for note in notes if note.what in what]

    def live(self) -> int:
        """How many jobs wait or run."""
        with self.app.inspector() as inspector:
            return sum(each.ready + each.running + each.delayed + each.parked for each in of_users(inspector.count()))

    def close(self) -> None:
        for node in self.nodes.values():
            node.kill()
        self.app.close()


def until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait for a condition that nothing announces."""
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        pause.wait(0.02)
