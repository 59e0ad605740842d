"""`python -m benchmarks.trials [--on STORE] [--seconds S] [--every S] [--write]`: `penstock chaos` on each store, and the page of what came out."""

from __future__ import annotations

import argparse
import os
import select
import shlex
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from benchmarks.__main__ import machine
from benchmarks.places import ROOT, folder, url
from penstock.errors import StoreUnavailable
from penstock.testing.servers import MongoServer, PostgresServer, RabbitServer, RedisServer
from penstock.testing.servers.server import Server

_PAGE = ROOT / "docs" / "reference" / "chaos.md"
_RATE = 600
_HARMS = ("kill -9 a process", "kill -9 a worker", "freeze a worker", "cut connections", "restart the server")
_HEAD = """# What `penstock chaos` found

One run of `{command}`, written by it: {machine}. `make chaos-page` does all of it anew, and writes this page.

On each store, a private server of this run, [`penstock chaos`](../how-to/try-your-store.md) sent {rate} jobs a second for {seconds:g} seconds to two workers of two processes, and did
harm {every}. A restart is a `kill -9` of the server, which is started again at once. Every run of a job is noted in a file that no kill can change, and every job that
the store confirmed is looked up there in the end.
"""
_COLUMNS = """`lost`: confirmed, and never run to its end. `run again`: more than once, since whoever ran it was harmed before the store had heard that it was done, as
[at least once](../explanation/promises.md) allows. `for no reason`: more than once without that. The exit code is 0 where nothing was lost and nothing ran again for no
reason."""
_RECOVERY = """Of the jobs that were being run by whom a harm met: seconds from the harm until half of them were done, and all of them, with how many there
were in brackets. A process that died is replaced, and what it held is given to others at once. Those of a worker that died or is frozen are given to others when
it has not been heard of for {dead:g} s, on SQLite at once where it was killed, for its socket tells; what was in hand when the server was killed goes on with its next start."""


class Result(NamedTuple):
    """What a trial came to."""

    store: str
    settings: str
    code: int
    told: dict[str, Any]


class Opened(NamedTuple):
    """A store: its URL, how it is set up, and its server, where it has one."""

    url: str
    settings: str
    server: Server | None


def main() -> int:
    """Run the trials, and print the page; exits with 1 where one has failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trials", description=main.__doc__)
    parser.add_argument("--on", action="append", choices=_STORES, help="this store; may be given again; all without")
    parser.add_argument("--seconds", type=float, default=60.0, help="in which jobs are sent to each (default: 60)")
    parser.add_argument("--every", type=float, default=1.0, help="seconds between two harms, on average (default: 1)")
    parser.add_argument("--write", action="store_true", help=f"write the page, {_PAGE.relative_to(ROOT)}")
    given = parser.parse_args()
    # Ended from outside, the servers end as well.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began, results, missing = machine(), list[Result](), dict[str, str]()
    for name in given.on or _STORES:
        print(f"{name} ...", file=sys.stderr, flush=True)
        try:
            with folder() as place, ExitStack() as stack:
                opened = _STORES[name](place, stack)
                code, told = _trial(opened, place, given.seconds, given.every)
        except StoreUnavailable as error:
            missing[name] = str(error).partition("\n")[0]
            print(f"  {error}", file=sys.stderr, flush=True)
        else:
            results.append(Result(name, opened.settings, code, told))
            print(f"  exit code {code}: {told}", file=sys.stderr, flush=True)
    command = " ".join(["python -m benchmarks.trials", *sys.argv[1:]])
    text = _page(command, began, given.seconds, given.every, results, missing)
    print(text)
    if given.write:
        _PAGE.write_text(text, encoding="utf-8")
    return max([int(bool(missing)), *(result.code for result in results)])


def _trial(opened: Opened, place: Path, seconds: float, every: float) -> tuple[int, dict[str, Any]]:
    """`penstock chaos`; this program restarts its server, for it is the one that started it."""
    asking, telling = place / "asking", place / "telling"
    command = [sys.executable, "-m", "penstock", "chaos", opened.url, "--json"]
    command += ["--jobs", str(round(_RATE * seconds)), "--seconds", f"{seconds:g}", "--every", f"{every:g}"]
    if opened.server is not None:
        names = shlex.quote(str(asking)), shlex.quote(str(telling))
        command += ["--cut", "--restart", f"echo > {names[0]} && read word < {names[1]}"]
    pipes = []
    for name in (asking, telling):
        os.mkfifo(name)
        # To be read and written: who opens one end of a pipe waits for the other.
        pipes.append(os.open(name, os.O_RDWR))
    asked, told = pipes
    with (place / "said").open("w+b") as said, subprocess.Popen(command, cwd=ROOT, stdout=said) as process:
        while process.poll() is None:
            if select.select([asked], [], [], 0.2)[0] and os.read(asked, 1) and opened.server is not None:
                opened.server.kill()
                opened.server.start()
                os.write(told, b"done\n")
        said.seek(0)
        answer = said.read()
    for pipe in pipes:
        os.close(pipe)
    if not answer:
        raise StoreUnavailable(f"penstock chaos gave up with exit code {process.returncode}")
    return process.returncode, msgspec.json.decode(answer, type=dict[str, Any])


def _page(
    command: str, began: str, seconds: float, every: float, results: list[Result], missing: dict[str, str]
) -> str:
    from penstock.worker.upkeep import DEAD_AFTER

    often = "every second" if every == 1 else f"every {every:g} seconds"
    head = _HEAD.format(command=command, machine=began, rate=_RATE, seconds=seconds, every=f"{often} on average")
    titles = ["store", "jobs", *_HARMS, "lost", "run again", "for no reason", "exit code", "seed"]
    counts = [
        [
            each.store, f"{each.told['jobs']:,}", *(_times(each, kind) for kind in _HARMS), f"{len(each.told['lost'])}",
            f"{each.told['again']:,}", f"{len(each.told['unexplained'])}", str(each.code), str(each.told["seed"]),
        ]
        for each in results
    ]  # fmt: skip
    back = [[each.store, *(_back(each, kind) for kind in _HARMS)] for each in results]
    parts = [
        head,
        _table([titles, *counts]),
        *(f"{store}: not run, {why}" for store, why in missing.items()),
        _COLUMNS,
        "## Until all is well again",
        _RECOVERY.format(dead=DEAD_AFTER),
        _table([["store", *_HARMS], *back]),
        "## The stores",
        _table([["store", "version and settings"], *([each.store, each.settings] for each in results)]),
    ]
    return "\n".join(part.strip() + "\n" for part in parts)


def _harm(result: Result, kind: str) -> dict[str, Any] | None:
    return next((each for each in result.told["harms"] if each["kind"] == kind), None)


def _times(result: Result, kind: str) -> str:
    harm = _harm(result, kind)
    return "-" if harm is None else str(harm["times"])


def _back(result: Result, kind: str) -> str:
    harm = _harm(result, kind)
    if harm is None or harm["back_p50"] is None:
        return "-"
    return f"{harm['back_p50']:.2f}, {harm['back_max']:.2f} ({harm['in_hand']})"


def _table(rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "| " + " | ".join("---" for _ in rows[0]) + " |", *lines[1:]])


def _sqlite(place: Path, stack: ExitStack) -> Opened:
    return Opened(url(place / "trial.db"), f"SQLite {sqlite3.sqlite_version}, commits wait for the disk", None)


def _postgresql(place: Path, stack: ExitStack) -> Opened:
    import psycopg

    server = stack.enter_context(PostgresServer(durable=True))
    with psycopg.connect(server.url()) as connection:
        version = connection.info.server_version
    settings = f"PostgreSQL {version // 10000}.{version % 10000}, fsync and synchronous_commit on"
    return Opened(server.url(), settings, server)


def _mongodb(place: Path, stack: ExitStack) -> Opened:
    import pymongo

    server = stack.enter_context(MongoServer(durable=True))
    with pymongo.MongoClient[dict[str, object]](server.url()) as client:
        version = client.server_info()["version"]
    return Opened(server.url(), f"MongoDB {version}, a replica set of one, majority and journal confirmed", server)


def _redis(place: Path, stack: ExitStack) -> Opened:
    server = stack.enter_context(RedisServer(appendfsync="always", options=("--dir", str(place))))
    said = subprocess.run([server.program, "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
    version = said.partition("v=")[2].split()[0]
    return Opened(server.url(), f"Redis {version}, appendonly yes, appendfsync always", server)


def _rabbitmq(place: Path, stack: ExitStack) -> Opened:
    import pika

    server = stack.enter_context(RabbitServer(durable=True))
    connection = pika.BlockingConnection(pika.URLParameters(server.url("%2F")))
    version = connection._impl.server_properties["version"]
    connection.close()
    settings = f"RabbitMQ {version}, one node, quorum queues, confirms; its backend a SQLite file"
    return Opened(f"{server.url()}?backend={url(place / 'backend.db')}", settings, server)


_STORES: dict[str, Callable[[Path, ExitStack], Opened]] = {
    "SQLite": _sqlite,
    "PostgreSQL": _postgresql,
    "MongoDB": _mongodb,
    "Redis": _redis,
    "RabbitMQ": _rabbitmq,
}


if __name__ == "__main__":
    sys.exit(main())
