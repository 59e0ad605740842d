"""What code that knows nothing of green threads does in them: it waits, and the others go on."""

import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "worker"))

from yard import Yard, until

from penstock.events.emit import ProcessDied
from penstock.stores.sqlite import FileLock
from penstock.testing.servers import MongoServer, PostgresServer, RedisServer
from penstock.testing.servers.process import LOOPBACK
from penstock.worker.lane import Lane

TOGETHER = 20
LANE = Lane("yard_app:app", 1, "gevent", TOGETHER)

TASKS = """
import socket
import psycopg, pymongo

def slowly(wait):
    note("began")
    wait()
    note("ended")

@app.task(name="postgresql")
def postgresql(url: str) -> None:
    with psycopg.connect(url) as connection:
        slowly(lambda: connection.execute("select pg_sleep(1.5)"))

clients = []

@app.task(name="mongodb")
def mongodb(url: str) -> None:
    if not clients:
        clients.append(pymongo.MongoClient(url, maxPoolSize=100))
    slowly(lambda: clients[0].market.orders.find_one({{"$where": "sleep(1500) || true"}}))

@app.task(name="requests")
def fetch(url: str) -> None:
    import requests
    slowly(lambda: requests.get(url, timeout=30).raise_for_status())

stores = []

@app.task(name="redis")
def pop(url: str) -> None:
    import redis
    if not stores:
        stores.append(redis.Redis.from_url(url))
    slowly(lambda: stores[0].blpop("empty", timeout=1.5))

@app.task(name="socket")
def listen(number: int) -> None:
    one, other = socket.socketpair()
    timer = threading.Timer(1.5, other.send, (b"!",))
    timer.start()
    slowly(lambda: one.recv(1))
    timer.join()

@app.task(name="lock")
def lock(path: str) -> None:
    from penstock.stores.sqlite import FileLock
    # Of each its own, as the broker of the worker and that of the tasks have: only the kernel knows of both.
    with FileLock(path):
        note("began")
        time.sleep(0.01)
        note("ended")

@app.task(name="send")
def send(number: int) -> None:
    note("began")
    lock.options(queue="nobody").delay("nowhere")
    note("ended")
""".replace("{{", "{").replace("}}", "}")


@pytest.fixture
def yard(tmp_path: Path, queue_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Yard]:
    monkeypatch.chdir(tmp_path)
    yard = Yard(tmp_path, queue_url, TASKS)
    yield yard
    yard.close()


def run(yard: Yard, task: str, argument: object) -> list[str]:
    """What the jobs noted, in order."""
    for _ in range(TOGETHER):
        yard.send(task, argument)
    yard.start(LANE)
    until(lambda: len(yard.notes()) == 2 * TOGETHER, "all have ended", 60)
    assert yard.of(ProcessDied) == []
    return [note.split()[0] for note in yard.notes()]


ALL_AT_A_TIME = ["began"] * TOGETHER + ["ended"] * TOGETHER


def test_psycopg(yard: Yard, postgres_server: PostgresServer) -> None:
    assert run(yard, "postgresql", postgres_server.url()) == ALL_AT_A_TIME


def test_pymongo(yard: Yard, mongo_server: MongoServer) -> None:
    import pymongo

    with pymongo.MongoClient[dict[str, int]](mongo_server.url()) as client:
        client.market.orders.insert_one({"number": 1})
    assert run(yard, "mongodb", mongo_server.url()) == ALL_AT_A_TIME


class SlowPage(BaseHTTPRequestHandler):
    """Answers after a while."""

    def do_GET(self) -> None:
        threading.Event().wait(1.5)
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


class Site(ThreadingHTTPServer):
    request_queue_size = 2 * TOGETHER


def test_requests(yard: Yard) -> None:
    with Site((LOOPBACK, 0), SlowPage) as site:
        thread = threading.Thread(target=site.serve_forever)
        thread.start()
        assert run(yard, "requests", f"http://{LOOPBACK}:{site.server_address[1]}/") == ALL_AT_A_TIME
        site.shutdown()
        thread.join()


def test_redis(yard: Yard, redis_server: RedisServer) -> None:
    assert run(yard, "redis", redis_server.url()) == ALL_AT_A_TIME


def test_sockets(yard: Yard) -> None:
    assert run(yard, "socket", 1) == ALL_AT_A_TIME


def test_a_lock_that_another_green_thread_holds(yard: Yard) -> None:
    path = str(yard.folder / "other.db")
    assert run(yard, "lock", path) == ["began", "ended"] * TOGETHER
    FileLock(path).close()


@pytest.mark.parametrize("scheme", ["sqlite", "postgresql", "mongodb"])
def test_the_worker_and_its_tasks_share_a_store(scheme: str, yard: Yard, request: pytest.FixtureRequest) -> None:
    if scheme == "postgresql":
        yard.url = f"{request.getfixturevalue('postgres_server').url()}?schema=green"
    if scheme == "mongodb":
        yard.url = f"{request.getfixturevalue('mongo_server').url()}&namespace=green"
    yard.write(TASKS)
    run(yard, "send", 1)
    with yard.app.inspector() as inspector:
        until(
            lambda: [(each.queue, each.ready, each.running) for each in inspector.count()] == [("nobody", TOGETHER, 0)],
            "all are handed in",
        )
