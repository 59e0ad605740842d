"""What the parts of the contract share: fixtures, jobs, holders, and short names for frequent calls."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from queue import SimpleQueue
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest

from penstock.brokers import connect
from penstock.brokers.base import Broker, WorkerInfo
from penstock.brokers.listener import Listener
from penstock.core.ids import uuid7s
from penstock.core.job import Holder, JobRecord, Lease, NewJob
from penstock.core.outcome import Ending, Outcome
from penstock.core.shipment import MovedJob
from penstock.core.states import State

#: The moment at which the tests begin, in epoch seconds; everything later is given from here.
NOW = 1_700_000_000.0
ALICE = Holder("alice", 1)
BOB = Holder("bob", 1)
QUEUE = "default"
#: Seconds in which what is told has come.
PATIENCE = 20.0

_numbers = itertools.count()

#: On a test of what only a store of records can do; see `Broker.keeps_records`.
by_record = pytest.mark.usefixtures("records")


class Told(Listener):
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self._words: SimpleQueue[str] = SimpleQueue()

    def next(self) -> str:
        """Wait for what it is told next: the name of the call."""
        return self._words.get(timeout=PATIENCE)

    def wake(self) -> None:
        """See `Listener.wake`."""
        self._words.put("wake")

    def ready(self) -> None:
        """See `Listener.ready`."""
        self._words.put("ready")

    def sent(self) -> None:
        """See `Listener.sent`."""
        self._words.put("sent")


class ContractBase:
    """The fixtures of every part of the contract."""

    @pytest.fixture
    def url(self) -> str:
        """The URL of a fresh, empty store."""
        raise NotImplementedError("give your subclass of the contract a `url` fixture")

    @pytest.fixture
    def open_store(self, url: str) -> Iterator[Callable[..., Broker]]:
        """Opens another connection, to the same store unless told otherwise; closed when the test ends."""
        with ExitStack() as stack:

            def open_one(where: str = url) -> Broker:
                store = connect(where)
                stack.callback(store.close)
                store.open()
                return store

            yield open_one

    @pytest.fixture
    def store(self, open_store: Callable[..., Broker]) -> Broker:
        """The broker under test, open."""
        return open_store()

    @pytest.fixture
    def records(self, store: Broker) -> None:
        """The test is for brokers that keep records: one that passes messages is tested for what stands in its place."""
        needs_records(store)


def needs_records(store: Broker) -> None:
    """Skip the rest of a test that a broker which passes messages can't pass."""
    if not store.keeps_records:
        pytest.skip(
            "jobs are messages here: they end with their connection, go by the server's clock, and are not listed"
        )


def with_namespace(url: str, namespace: str) -> str:
    """The same store, under another namespace, which PostgreSQL calls a schema; it makes part of the old one's name."""
    place, _, query = url.partition("?")
    name = "schema" if place.startswith("postgres") else "namespace"
    options = dict(parse_qsl(query))
    options[name] = f"{options[name]}_{namespace}" if name in options else namespace
    return f"{place}?{urlencode(options)}"


def new_id() -> bytes:
    """An id that is greater than those made before it in this process."""
    return uuid7s(1, int(NOW * 1000) + next(_numbers), os.urandom(10))[0]


def job(**fields: Any) -> NewJob:
    """A job with a new id; the fields given replace the plain ones."""
    return NewJob(**{"id": new_id(), "task": "app.task", "payload": b"payload", **fields})


def jobs(count: int, **fields: Any) -> list[NewJob]:
    """Several such jobs."""
    return [job(**fields) for _ in range(count)]


def ids(many: Sequence[NewJob | Lease | JobRecord | MovedJob]) -> list[bytes]:
    """The ids of jobs, leases or records."""
    return [one.id for one in many]


def claim(
    store: Broker,
    limit: int = 1000,
    *,
    queues: Sequence[str] = (QUEUE,),
    holder: Holder = ALICE,
    now: float = NOW,
) -> list[Lease]:
    """Take new leases."""
    return store.exchange((), queues, limit, holder, now=now).leases


def claim_one(store: Broker, holder: Holder = ALICE, now: float = NOW) -> Lease:
    """Take the only job that is ready."""
    (lease,) = claim(store, holder=holder, now=now)
    return lease


def hand_in(store: Broker, *outcomes: Outcome, holder: Holder = ALICE, now: float = NOW) -> list[Outcome]:
    """Hand in outcomes; returns the stale ones."""
    return store.exchange(outcomes, (), 0, holder, now=now).stale


def end(store: Broker, lease: Lease, ending: Ending = Ending.DONE, **fields: Any) -> None:
    """End a lease of Alice's, which must not be stale."""
    assert hand_in(store, Outcome(lease, ending, **fields)) == []


def state(store: Broker, id: bytes) -> State:
    """The state of a job; one that is not stored any more counts as done."""
    record = store.inspector().get(id)
    return State.DONE if record is None else record.state


def record(store: Broker, id: bytes) -> JobRecord:
    """A job that must be stored."""
    found = store.inspector().get(id)
    assert found is not None
    return found


def beat(store: Broker, worker: str, now: float = NOW) -> None:
    """A heartbeat of a worker that is of no further interest."""
    info = WorkerInfo(id=worker, host="host", pid=1, pool="threads", slots=4, queues=(QUEUE,), started_at=NOW)
    store.heartbeat(info, now=now)


def rescue_from(store: Broker, holder: Holder) -> int:
    """Let a worker beat, fall silent, and be rescued; returns how many jobs came back."""
    needs_records(store)
    beat(store, holder.worker)
    return store.rescue(dead_after=10, now=NOW + 11)
