"""The way in, shared by threads and after a fork."""

import os
import threading
from collections.abc import Iterator

import psycopg
import pytest

from penstock.client import Client, new_ids
from penstock.core.job import NewJob
from penstock.core.states import State
from penstock.errors import ResultTimeout
from penstock.testing.servers import PostgresServer


@pytest.fixture
def client(queue_url: str) -> Iterator[Client]:
    client = Client(queue_url)
    yield client
    client.close()


def jobs(count: int) -> list[NewJob]:
    return [NewJob(id, "app.task", b"\x90") for id in new_ids(count)]


def ready(client: Client) -> int:
    with client.inspector() as inspector:
        return sum(counts.ready for counts in inspector.count())


def test_ids_ascend() -> None:
    ids = new_ids(100)
    assert ids == sorted(set(ids))


def test_threads_share_one(client: Client) -> None:
    threads = [threading.Thread(target=client.enqueue, args=(jobs(5),)) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert ready(client) == 50


def test_a_closed_one_opens_again(client: Client) -> None:
    client.enqueue(jobs(1))
    client.close()
    client.close()
    client.enqueue(jobs(1))
    assert ready(client) == 2


def test_a_forked_child_has_a_connection_of_its_own(client: Client) -> None:
    client.enqueue(jobs(1))
    child = os.fork()
    if not child:
        try:
            client.enqueue(jobs(1))
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    client.enqueue(jobs(1))
    assert ready(client) == 3


def test_the_same_job_twice_is_stored_once(client: Client) -> None:
    same = jobs(1)
    assert client.enqueue(same) == client.enqueue(same)
    assert ready(client) == 1


def test_waiting(client: Client) -> None:
    (id,) = client.enqueue(jobs(1))
    assert client.state(id) is State.READY
    assert client.ended(id) is None
    with pytest.raises(ResultTimeout, match=r"within 0\.01 s"):
        client.wait(id, 0.01)
    with client.broker() as broker:
        broker.purge("default")
    assert client.wait(id, None) is None
    assert client.state(id) is State.DONE


def test_a_connection_that_broke_since_the_last_call_is_made_anew(postgres_server: PostgresServer) -> None:
    client = Client(f"{postgres_server.url()}?schema=client")
    first, second = jobs(2)
    for job in (first, second):
        assert client.enqueue([job]) == [job.id]
        with psycopg.connect(postgres_server.url(), autocommit=True) as connection:
            connection.execute(
                "select pg_terminate_backend(pid, 5000) from pg_stat_activity "
                "where backend_type = 'client backend' and pid <> pg_backend_pid()"
            )
    assert client.state(first.id) is State.READY
    client.close()
