"""Messages in the inbox: what becomes of good ones and of malformed ones, and that none is lost or doubled."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import bson
import msgspec
import pytest
from bson import Binary, Code, Decimal128, Int64, MaxKey, ObjectId, Regex, Timestamp
from bson.raw_bson import RawBSONDocument
from pymongo.collection import Collection

from penstock.brokers import connect
from penstock.brokers.inspect import Selection
from penstock.brokers.listener import Waking
from penstock.brokers.mongodb.broker import MongoBroker
from penstock.brokers.mongodb.inbox import job_of
from penstock.core.ids import uuid7s
from penstock.core.job import NewJob
from penstock.core.outcome import Outcome
from penstock.core.states import State
from penstock.testing.contract.harness import ALICE, NOW, QUEUE, claim, claim_one
from penstock.testing.servers import MongoServer


@pytest.fixture(params=["mongodb", "mongodb alone"])
def url(request: pytest.FixtureRequest, stores: dict[str, Callable[..., Any]], tmp_path: Any) -> str:
    made: str = stores[request.param](request, tmp_path)()
    return made


@pytest.fixture
def broker(url: str) -> Iterator[MongoBroker]:
    made = connect(url)
    assert isinstance(made, MongoBroker)
    made.open()
    yield made
    made.close()


def inbox(broker: MongoBroker) -> Collection[dict[str, Any]]:
    return broker._opened.layout.inbox


def asked(**message: Any) -> NewJob:
    return job_of(bson.encode({"_id": ObjectId(), **message}))


def reason(**message: Any) -> str:
    job = asked(**message)
    assert job.dead
    assert job.failure is not None
    return job.failure.message


def test_a_message_becomes_a_job(broker: MongoBroker) -> None:
    inbox(broker).insert_one({"task": "shop.send", "args": ["a@b.c", 2], "kwargs": {"subject": "hi"}})
    broker.promote()
    lease = claim_one(broker)
    assert lease.task == "shop.send"
    assert msgspec.json.decode(lease.payload) == {"args": ["a@b.c", 2], "kwargs": {"subject": "hi"}}
    assert inbox(broker).count_documents({}) == 0


def test_everything_a_message_may_say() -> None:
    when = datetime(2030, 1, 1, tzinfo=UTC)
    job = asked(task="t", queue="mail", priority=9, run_at=when, unique="k", at_most_once=True)
    assert (job.queue, job.priority, job.run_at, job.unique, job.at_most_once) == (
        "mail",
        9,
        when.timestamp(),
        "k",
        True,
    )
    assert (asked(task="t", delay=5).delay, asked(task="t", run_at=7.5).run_at) == (5.0, 7.5)
    assert asked(task="t").payload == b'{"args":[],"kwargs":{}}'
    assert asked(task="t", priority=3.0, queue=None, unique=None, delay=None).priority == 3


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (ObjectId("0123456789ab0123456789ab"), "0123456789ab0123456789ab"),
        (datetime(2024, 2, 29, 12, tzinfo=UTC), "2024-02-29T12:00:00Z"),
        (Decimal128("1.50"), "1.50"),
        (Int64(1 << 62), 1 << 62),
        (b"\0\xff", "AP8="),
        (Binary(UUID(int=7).bytes, 4), str(UUID(int=7))),
        ({"a": [None, True, 1.5, "ы\0"]}, {"a": [None, True, 1.5, "ы\0"]}),
    ],
)
def test_what_json_can_not_say_is_written_sensibly(value: Any, written: Any) -> None:
    assert msgspec.json.decode(asked(task="t", args=[value]).payload)["args"] == [written]


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ({}, 'no "task"'),
        ({"task": ""}, 'no "task"'),
        ({"task": 5}, '"task" is text'),
        ({"task": "t", "argz": []}, "'argz'"),
        ({"task": "t", "args": {}}, '"args" is an array'),
        ({"task": "t", "kwargs": []}, '"kwargs" is a document'),
        ({"task": "t", "queue": 1}, '"queue" is text'),
        ({"task": "t", "priority": 10}, "priority"),
        ({"task": "t", "priority": 1.5}, "priority"),
        ({"task": "t", "priority": True}, "priority"),
        ({"task": "t", "delay": -1}, "delay"),
        ({"task": "t", "delay": float("nan")}, "delay"),
        ({"task": "t", "run_at": "tomorrow"}, "run_at"),
        ({"task": "t", "at_most_once": "yes"}, "at_most_once"),
        ({"task": "t", "args": [float("inf")]}, "float"),
        ({"task": "t", "args": [Timestamp(1, 1)]}, "Timestamp"),
        ({"task": "t", "args": [Regex("x")]}, "Regex"),
        ({"task": "t", "args": [MaxKey()]}, "MaxKey"),
    ],
)
def test_a_malformed_message_is_a_dead_letter_that_says_why(message: dict[str, Any], says: str) -> None:
    assert says in reason(**message)


def test_code_is_no_argument() -> None:
    assert "Code" in reason(task="t", args=[Code("x")])


def test_deep_and_large_messages() -> None:
    deep: Any = 1
    for _ in range(150):
        deep = [deep]
    assert "deep" in reason(task="t", args=[deep])
    assert "bytes" in reason(task="t", args=[b"x" * (12 << 20)])


def test_a_message_that_is_no_utf8(broker: MongoBroker) -> None:
    raw = bson.encode({"_id": 1, "task": "tXsk"}).replace(b"tXsk", b"t\xffsk")
    job = job_of(raw)
    assert job.dead
    assert job.task == "t\ufffdsk"
    inbox(broker).insert_one(RawBSONDocument(raw))
    inbox(broker).insert_one({"task": "good"})
    broker.promote()
    assert [lease.task for lease in claim(broker)] == ["good"]
    assert inbox(broker).count_documents({}) == 0


def test_malformed_messages_are_in_nobodys_way(broker: MongoBroker) -> None:
    inbox(broker).insert_many(
        [{"task": 1}, {"task": "good"}, {"_id": "x", "tusk": "t", "args": [MaxKey()]}, {"_id": {"a": 1}}]
    )
    broker.promote()
    assert [lease.task for lease in claim(broker)] == ["good"]
    dead = broker.inspector().list(Selection(state=State.DEAD))
    assert len(dead) == 3
    assert all(one.failure and "inbox" in one.failure.message for one in dead)
    assert any(b'"tusk":"t"' in one.payload for one in dead)
    assert inbox(broker).count_documents({}) == 0


def test_the_id_of_a_job_comes_from_that_of_its_message() -> None:
    id = ObjectId()
    raw = bson.encode({"_id": id, "task": "t"})
    job = job_of(raw)
    assert job == job_of(raw)
    before, after = (uuid7s(1, int(id.generation_time.timestamp() * 1000) + step, b"0" * 10)[0] for step in (-1, 1001))
    assert before < job.id < after
    assert job_of(bson.encode({"_id": "text", "task": "t"})).id != job_of(bson.encode({"_id": 5, "task": "t"})).id


def test_a_message_takes_part_in_uniqueness_and_delays(broker: MongoBroker) -> None:
    inbox(broker).insert_many(
        [{"task": "t", "unique": "k"}, {"task": "t", "unique": "k"}, {"task": "t", "delay": 3600}]
    )
    broker.promote()
    assert len(claim(broker)) == 1
    assert [one.delayed for one in broker.inspector().count()] == [1]
    inbox(broker).insert_one({"task": "t", "unique": "k"})
    broker.promote()
    assert claim(broker) == []
    assert inbox(broker).count_documents({}) == 0


def test_many_workers_adopt_each_message_once(url: str, broker: MongoBroker) -> None:
    inbox(broker).insert_many([{"task": "t", "args": [n]} for n in range(1200)])
    brokers = [connect(url) for _ in range(4)]
    barrier = threading.Barrier(4)

    def adopt(other: Any) -> None:
        other.open()
        barrier.wait(30)
        other.promote()

    threads = [threading.Thread(target=adopt, args=(other,)) for other in brokers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    broker.promote()
    leases = claim(broker, 5000)
    assert sorted(msgspec.json.decode(lease.payload)["args"][0] for lease in leases) == list(range(1200))
    broker.exchange([Outcome(lease) for lease in leases], (), 0, ALICE, now=NOW)
    broker.promote()
    assert claim(broker) == []
    for other in brokers:
        other.close()


def test_a_message_wakes_a_worker(mongo_server: MongoServer) -> None:
    broker = connect(f"{mongo_server.url()}&namespace=inbox_wakes")
    assert isinstance(broker, MongoBroker)
    broker.open()
    woken = threading.Event()
    with broker.listen(Waking(woken.set)):
        inbox(broker).insert_one({"task": "t"})
        assert woken.wait(20)
    broker.promote()
    assert broker.depth(QUEUE) == 1
    broker.close()
