"""Who enqueues: one program for all peers, run by each peer's own interpreter, so only the standard library.

`python -m benchmarks.peers.client APP fill ONE MANY`, `... paced START COUNT PER_SECOND` or `... orders FILE`. The first job of each goes in before
the clock starts, so that the connection is there. Prints JSON: how long it took, or when each job was sent (`paced`).

An app has `one(number)`; where the peer has a call for many, `many(numbers)`; and where its store wants tables first, `install()`. An app of
coroutines is run in one event loop.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
import time
from collections.abc import Callable, Coroutine
from importlib import import_module
from pathlib import Path
from typing import Any

#: As many jobs as go into one call of `many`.
AT_ONCE = 1000

Call = Callable[..., Coroutine[Any, Any, Any]]


async def fill(app: Any, alone: int, many: int) -> dict[str, Any]:
    """So many jobs one by one, and so many more in the way that the peer has for many; one by one where it has none, and then not timed."""
    if hasattr(app, "install"):
        await _awaited(app.install)()
    one = _awaited(app.one)
    await one(0)
    began = time.perf_counter()
    for number in range(1, alone):
        await one(number)
    took = time.perf_counter() - began
    if not hasattr(app, "many"):
        for number in range(alone, alone + many):
            await one(number)
        return {"one": took, "many": None}
    call = _awaited(app.many)
    await call(range(alone, alone + 1))
    began = time.perf_counter()
    for first in range(alone + 1, alone + many, AT_ONCE):
        await call(range(first, min(first + AT_ONCE, alone + many)))
    return {"one": took, "many": time.perf_counter() - began}


async def paced(app: Any, start: int, count: int, per_second: int) -> dict[str, Any]:
    """So many a second."""
    one, sleep = _awaited(app.one), _awaited(asyncio.sleep if _has_loop(app) else time.sleep)
    await one(start)
    await sleep(1)
    sent: list[float] = []
    first = time.monotonic()
    for index in range(count - 1):
        await sleep(max(0.0, first + index / per_second - time.monotonic()))
        sent.append(time.monotonic())
        await one(start + 1 + index)
    return {"sent": sent}


async def orders(app: Any, path: str) -> dict[str, Any]:
    """The orders of a file of JSON Lines, one by one; after the first it says `ready`, and waits for a line."""
    records = _records(path)
    app.order(records[0])
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.monotonic()
    for record in records[1:]:
        app.order(record)
    return {"began": began, "seconds": time.monotonic() - began}


def _records(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]


def _has_loop(app: Any) -> bool:
    return hasattr(app, "one") and inspect.iscoroutinefunction(app.one)


def _awaited(function: Callable[..., Any]) -> Call:
    if inspect.iscoroutinefunction(function):
        return function

    async def call(*arguments: Any) -> None:
        function(*arguments)

    return call


def _run(app: Any, doing: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
    if _has_loop(app):
        return asyncio.run(doing)
    # Without a loop around it: some clients do otherwise where one runs. What only calls plain functions never waits.
    try:
        doing.send(None)
    except StopIteration as ended:
        return dict(ended.value)
    raise AssertionError("a plain function waited")


def main(words: list[str]) -> dict[str, Any]:
    """Do what the words of the command line say."""
    name, way, *rest = words
    app = import_module(name)
    if way == "orders":
        return _run(app, orders(app, rest[0]))
    doing: Call = {"fill": fill, "paced": paced}[way]
    return _run(app, doing(app, *map(int, rest)))


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:])))
