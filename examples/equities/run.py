"""A market's intraday bars into MongoDB, through a queue that is a file, on one core and 2 GB of memory.

    python examples/equities/run.py                             # on a MongoDB that it starts for itself
    python examples/equities/run.py --url mongodb://localhost:27017/market      # or $MONGODB_URL: on yours
    python examples/equities/run.py --baseline                  # and a bare insert_many beside it

Ends with an error where a bar is missing or there twice.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import bars
import limits
import proof
from pymongo.errors import PyMongoError

from penstock.core.masking import without_password
from penstock.testing.servers import MongoServer

HERE = Path(__file__).resolve().parent
MEMORY = 2 << 30
# What MongoDB takes of 2 GB when nobody tells it: half of all but the first.
CACHE = 512 << 20
COLLECTION = "bars"
#: 700,000 documents in two and a half hours.
BEFORE = 700_000 / (2.5 * 3600)


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default=os.environ.get("MONGODB_URL"), help="of a database; $MONGODB_URL without")
    parser.add_argument("--alone", action="store_true", help="start a MongoDB that is in no replica set")
    parser.add_argument("--count", type=int, default=bars.COUNT, help="of bars; %(default)s without")
    parser.add_argument("--symbols", type=int, default=bars.SYMBOLS, help="%(default)s without")
    parser.add_argument("--seed", type=int, default=bars.SEED, help="of the simulation; %(default)s without")
    parser.add_argument("--broken", type=int, default=0, help="how many bars are wrong; none without")
    parser.add_argument("--tasks", action="store_true", help="generate tasks.json, an array, instead of JSON Lines")
    parser.add_argument("--workers", type=int, default=2, help="%(default)s without")
    parser.add_argument("--folder", type=Path, default=HERE / "data", help="for the generated file and the queue")
    parser.add_argument("--baseline", action="store_true", help="run the bare insert_many loop, too")
    given = parser.parse_args()
    if given.baseline and (given.tasks or given.broken):
        parser.error("--baseline is a loop over JSON Lines that are all good: leave out --tasks and --broken")
    return given


def main() -> int:
    """Generate, load, prove, measure."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    given = arguments()
    source = generated(given)
    with limits.one_core() as core, limits.memory(MEMORY) as how:
        say(2, f"one core (number {core}) and {MEMORY >> 30} GB of memory ({how}) for all that follows")
        if given.url and not how.startswith("NOT"):
            print("   but not for the MongoDB that you named: to hold it to them is up to you")
        ours = load(given, source)
        if given.baseline:
            print(f"\n   Penstock / bare insert_many: {ours / bare(given, source):.2f}")
    return 0


def generated(given: argparse.Namespace) -> Path:
    """The file of bars, made where it is not there yet."""
    given.folder.mkdir(parents=True, exist_ok=True)
    kind = "tasks{}.json" if given.tasks else "bars{}.jsonl"
    mark = f"-{given.count}x{given.symbols}-seed{given.seed}" + (f"-broken{given.broken}" if given.broken else "")
    path: Path = given.folder / kind.format(mark)
    if path.exists():
        say(1, f"{path} is there already")
    else:
        say(1, f"{given.count:,} bars of {given.symbols:,} symbols into {path}")
        bars.write(path, bars.bars(given.count, given.symbols, given.seed, given.broken), given.count)
    return path


@contextmanager
def database(given: argparse.Namespace) -> Iterator[tuple[str, MongoServer | None]]:
    """The URL of the database, and the server if it is one of ours: one that has done nothing yet."""
    if given.url is not None:
        yield given.url, None
        return
    with MongoServer(members=0 if given.alone else 1, durable=True, cache=CACHE) as server:
        yield server.url("market"), server


def load(given: argparse.Namespace, source: Path) -> float:
    """Load the bars as a user would; returns documents per second."""
    queue = Path(f"{source}.penstock.db")
    rejects = Path(f"{source}.rejects.jsonl")
    with database(given) as (url, server):
        if server is not None:
            # What an interrupted run had loaded went with its server.
            queue.unlink(missing_ok=True)
        already = empty(url, COLLECTION, unless=queue.exists())
        options = ["--table", COLLECTION, "--create", "--key", "task_id", "--workers", str(given.workers)]
        if given.broken:
            options += ["--report", f"{source}.report.jsonl"]
        command = ["penstock", "load", str(source), "--into", url, *options]
        say(3, shlex.join([without_password(word) for word in command]))
        seconds, memory = timed([sys.executable, "-m", *command])
        refused = rejects.read_bytes().count(b"\n") if rejects.exists() else 0
        say(4, "what MongoDB says:")
        prove(url, given.count - refused, refused)
        rate = figures("penstock load", given.count - already, seconds, memory, server)
        if given.count == bars.COUNT:
            print(f"   {rate / BEFORE:,.0f} times as fast as {bars.COUNT:,} documents in 2.5 hours")
        return rate


def bare(given: argparse.Namespace, source: Path) -> float:
    """Insert the same bars with nothing but pymongo; returns documents per second."""
    collection = f"{COLLECTION}_bare"
    with database(given) as (url, server):
        empty(url, collection)
        say(5, "the bare loop: insert_many of 1,000, ordered=False")
        seconds, memory = timed([sys.executable, str(HERE / "bare.py"), str(source), url, collection])
        found = proof.size(url, collection)
        if found != given.count:
            sys.exit(f"the bare loop left {found:,} documents")
        rate = figures("bare insert_many", found, seconds, memory, server)
        proof.drop(url, collection)
        return rate


def empty(url: str, collection: str, *, unless: bool = False) -> int:
    """Refuse a collection that has documents, which somebody may want to keep; returns how many it has.

    Parameters:
        unless: an interrupted load goes on, whose documents they are.
    """
    found = proof.size(url, collection)
    if found and not unless:
        sys.exit(f"the collection {collection!r} has {found:,} documents: drop it, or name another database with --url")
    return found


def timed(command: Sequence[str]) -> tuple[float, int]:
    """Run a command to its end; returns the seconds it took and the peak memory of all its processes."""
    began = time.monotonic()
    with subprocess.Popen(command) as process, limits.Peak(process.pid) as peak:
        try:
            status = process.wait()
        except KeyboardInterrupt:
            # It writes down how far it has got before it leaves.
            process.terminate()
            process.wait()
            raise
    took = time.monotonic() - began
    if status:
        sys.exit(f"it ended with exit code {status}")
    return took, peak.bytes


def prove(url: str, expected: int, refused: int) -> None:
    """Compare what is in the database with what was generated."""
    found = proof.ask(url, COLLECTION)
    print(f"   {found.documents:,} documents, {found.bars:,} different bars of {found.symbols:,} symbols", end=", ")
    print(f"{found.volume:,} shares traded")
    if (found.documents, found.bars) != (expected, expected):
        sys.exit(f"expected {expected:,} documents, each once")
    print(f"   every bar once, none lost; {refused} refused")


def figures(name: str, count: int, seconds: float, memory: int, server: MongoServer | None) -> float:
    """Print what was measured; returns documents per second."""
    mongod = "" if server is None else f", of mongod {limits.peak_of(server.members[0].pid) / 1e6:,.0f} MB"
    print(f"\n   {name}: {count:,} documents in {seconds:.1f} s, {count / seconds:,.0f} documents/s")
    print(f"   peak memory of its processes {memory / 1e6:,.0f} MB{mongod}")
    return count / seconds


def say(number: int, text: str) -> None:
    """Begin a step."""
    print(f"{number}. {text}", flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("stopped")
    except PyMongoError as error:
        sys.exit(f"MongoDB: {error}")
