"""2,100 pages that each take 100 ms, scraped in five ways: meta data into MongoDB, bodies into S3.

    python examples/scrape/run.py                       # all five; the site, a MongoDB and a bucket are started for it
    python examples/scrape/run.py --pages 300 --only asyncio

Ends with an error where a page is missing in either store.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pages
import pymongo
import tasks

from penstock import State
from penstock.brokers.inspect import Selection
from penstock.testing.servers import MongoServer
from penstock.testing.servers.process import free_port

HERE = Path(__file__).resolve().parent
#: The big task gets no further than this many pages.
FEW = 100
_PATIENCE = 30.0


class Way(NamedTuple):
    """One way to scrape: which task is sent, and how the worker is started."""

    name: str
    what: str
    task: str
    options: str
    most: int = pages.PAGES


WAYS = (
    Way("big", "one big task", "all_in_one", "--pool prefork -c 1", FEW),
    Way("prefork", "a task per page, 8 processes", "scrape", "--pool prefork -c 8"),
    Way("split", "a task per step, {slots} green threads", "fetch", "--pool gevent -c {slots}"),
    Way("gevent", "a task per page, {slots} green threads", "scrape", "--pool gevent -c {slots}"),
    Way("asyncio", "a task per page, {slots} coroutines", "scrape_async", "--pool asyncio -c {slots}"),
)


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=pages.PAGES, help="how many; %(default)s without")
    parser.add_argument("--slots", type=int, default=1000, help="of gevent and asyncio; %(default)s without")
    parser.add_argument("--only", action="append", choices=[way.name for way in WAYS], help="may be repeated")
    parser.add_argument("--repeat", type=int, default=1, help="each way so many times; the table has the best")
    given = parser.parse_args()
    if not 1 <= given.pages <= pages.PAGES:
        parser.error(f"the site has {pages.PAGES} pages")
    return given


def main() -> int:
    """Start what there is to scrape and to keep it in, scrape, prove, and tell the times."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    given = arguments()
    rows: list[tuple[str, int, float]] = []
    with places() as stores:
        for way in [way for way in WAYS if not given.only or way.name in given.only]:
            count = min(given.pages, way.most)
            what = way.what.format(slots=f"{given.slots:,}")
            print(f"{what}: {count:,} pages ...", end=" ", flush=True)
            took = min(run(way, count, given.slots, *stores) for _ in range(given.repeat))
            print(f"{took:.1f} s, {count / took:,.0f} pages/s", flush=True)
            rows.append((what, count, took))
    print(table(rows))
    return 0


@contextmanager
def places() -> Iterator[tuple[str, str, MongoServer]]:
    """The site, the bucket and the MongoDB."""
    with server("pages.py") as site, server("bucket.py") as bucket, MongoServer(durable=True) as mongo:
        yield site, bucket, mongo


@contextmanager
def server(program: str) -> Iterator[str]:
    """One of the servers of this folder; its address."""
    port = free_port()
    with subprocess.Popen([sys.executable, str(HERE / program), str(port)]) as process:
        try:
            deadline = time.monotonic() + _PATIENCE
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    if process.poll() is not None or time.monotonic() > deadline:
                        sys.exit(f"{program} does not answer")
                    time.sleep(0.02)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def run(way: Way, count: int, slots: int, site: str, bucket: str, mongo: MongoServer) -> float:
    """Scrape in one way, on a queue of its own; returns the seconds from the first job sent to the last ended."""
    database = f"scrape_{time.time_ns()}"
    with tempfile.TemporaryDirectory(prefix="penstock-scrape-") as folder:
        queue = f"sqlite:///{folder}/queue.db"
        os.environ |= {
            "SITE": site, "BUCKET": f"{bucket}/{database}", "MONGODB_URL": mongo.url(database), "PENSTOCK_URL": queue,
        }  # fmt: skip
        words = shlex.split(way.options.format(slots=slots))
        with worker(words) as started:
            scraped("warm", [()] * 8, queue)
            calls = [(count,)] if way.task == "all_in_one" else [(number,) for number in range(count)]
            took = scraped(way.task, calls, queue)
            started.send_signal(signal.SIGTERM)
            if started.wait(_PATIENCE):
                sys.exit("the worker ended with an error")
    prove(count, mongo.url(database), f"{bucket}/{database}")
    return took


@contextmanager
def worker(options: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A worker that is up and waits for jobs."""
    command = [sys.executable, "-m", "penstock", "worker", "tasks:app", *options]
    with subprocess.Popen(command, cwd=HERE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            heard = []
            for line in process.stderr:
                heard.append(line)
                if " takes " in line:
                    break
            else:
                sys.exit("".join(heard))
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def scraped(name: str, calls: list[tuple[int, ...]], queue: str) -> float:
    """Send the jobs of a task, and wait until there is none."""
    with tasks.app.elsewhere(queue):
        began = time.monotonic()
        tasks.app.find(name).delay_many(calls)
        while True:
            with tasks.app.inspector() as inspector:
                left = inspector.count()
                dead = inspector.list(Selection(state=State.DEAD), limit=1)
            if not left:
                return time.monotonic() - began
            if dead:
                sys.exit(f"a job failed for good: {dead[0].failure}")
            time.sleep(0.02)


def prove(count: int, mongodb: str, bucket: str) -> None:
    """Compare both stores with the site."""
    with pymongo.MongoClient(mongodb) as client:
        database = client.get_default_database()
        kept = {page["_id"]: page["digest"] for page in database.pages.find({}, {"digest": 1})}
        client.drop_database(database.name)
    wrong = [number for number in range(count) if kept.get(number) != hashlib.sha256(pages.page(number)).hexdigest()]
    if wrong or len(kept) != count:
        sys.exit(f"MongoDB has {len(kept):,} pages, and {len(wrong):,} of {count:,} are missing or wrong")
    for number in range(count):
        if urllib.request.urlopen(f"{bucket}/pages/{number}.html").read() != pages.page(number):
            sys.exit(f"the bucket has another page {number}")


def table(rows: list[tuple[str, int, float]]) -> str:
    """The times, as a Markdown table."""
    lines = ["", "| way | pages | seconds | pages/s |", "| --- | ---: | ---: | ---: |"]
    lines += [f"| {what} | {count:,} | {took:.1f} | {count / took:,.0f} |" for what, count, took in rows]
    return "\n".join(lines)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("stopped")
