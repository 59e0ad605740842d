"""Who enqueues: one program for all peers, run by each peer's own interpreter, so only the standard library.

`python -m benchmarks.peers.client APP one|many START COUNT`, `... paced START COUNT PER_SECOND` or `... orders FILE`. The first job of each
goes in before the clock starts, so that the connection is there. Prints JSON: how long it took, and when each job was sent (`paced`).
"""

from __future__ import annotations

import json
import sys
import time
from importlib import import_module
from typing import Any

#: As many jobs as go into one call of `many`.
AT_ONCE = 1000


def one(app: Any, start: int, count: int) -> dict[str, Any]:
    """Job by job, in one thread."""
    app.one(start)
    began = time.perf_counter()
    for number in range(start + 1, start + count):
        app.one(number)
    return {"seconds": time.perf_counter() - began}


def many(app: Any, start: int, count: int) -> dict[str, Any]:
    """In the way that the peer has for many."""
    app.many([start])
    began = time.perf_counter()
    for first in range(start + 1, start + count, AT_ONCE):
        app.many(range(first, min(first + AT_ONCE, start + count)))
    return {"seconds": time.perf_counter() - began}


def paced(app: Any, start: int, count: int, per_second: int) -> dict[str, Any]:
    """So many a second."""
    app.one(start)
    time.sleep(1)
    sent: list[float] = []
    first = time.monotonic()
    for index in range(count - 1):
        time.sleep(max(0.0, first + index / per_second - time.monotonic()))
        sent.append(time.monotonic())
        app.one(start + 1 + index)
    return {"sent": sent}


def orders(app: Any, path: str) -> dict[str, Any]:
    """The orders of a file of JSON Lines, one by one; after the first it says `ready`, and waits for a line."""
    with open(path, encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    app.order(records[0])
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.monotonic()
    for record in records[1:]:
        app.order(record)
    return {"began": began, "seconds": time.monotonic() - began}


def main(words: list[str]) -> dict[str, Any]:
    """Do what the words of the command line say."""
    app, way, *rest = words
    module = import_module(app)
    if way == "orders":
        return orders(module, rest[0])
    start, count, *pace = map(int, rest)
    if way == "paced":
        return paced(module, start, count, pace[0])
    return {"one": one, "many": many}[way](module, start, count)


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:])))
