"""Bytes from outside: whatever they are, what comes of them is an answer in words, soon, and in little memory."""

import gzip
import os
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import bson
import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from penstock import Penstock
from penstock.brokers.amqp import message
from penstock.brokers.mongodb.inbox import job_of
from penstock.cli.readable import arguments, topic
from penstock.core import handing
from penstock.core.codec import decode_value
from penstock.core.decide import JobOptions
from penstock.core.job import JobRecord, Lease, NewJob
from penstock.core.outcome import Ending, Outcome
from penstock.core.packed import pack
from penstock.core.states import State
from penstock.core.topics import body
from penstock.errors import PayloadError, SourceError
from penstock.load.slices import Position
from penstock.load.sources import Source

#: A long run is by `PENSTOCK_CHAOS=full`.
FUZZ = settings(max_examples=3_000 if os.environ.get("PENSTOCK_CHAOS") == "full" else 100)
SECONDS, BYTES = 5.0, 64 << 20


@dataclass
class Line:
    sku: str
    price: Decimal
    at: datetime


@pytest.fixture(scope="module")
def app() -> Iterator[Penstock]:
    with tempfile.TemporaryDirectory() as folder:
        app = Penstock(f"sqlite:///{folder}/jobs.db")

        @app.task(name="plain")
        def plain(to: str, number: int = 5) -> None: ...

        @app.task(name="nested")
        def nested(lines: list[Line], *, by: dict[str, tuple[int, float | None]]) -> None: ...

        @app.task(name="variadic")
        def variadic(*args: int, **kwargs: bytes) -> None: ...

        @app.task(name="anything")
        def anything(value: Any) -> Any:
            return value

        @app.batch_task(name="many")
        def many(lines: list[Line]) -> None: ...

        @app.subscribe("orders.#", group="g", name="hear")
        def hear(event: Line, topic: str) -> None: ...

        app.sink(f"sqlite:///{folder}/rows.db", table="rows", create=True)
        yield app
        app.close()


VALID: list[bytes] = [
    msgspec.msgpack.encode(["ada", 7]),
    msgspec.msgpack.encode([[["pen", "1.50", "2026-01-01T00:00:00Z"]], {"a": [1, 0.5]}]),
    msgspec.msgpack.encode([{"sku": "pen", "price": "1.50", "at": "2026-01-01T00:00:00Z"}]),
    pack([["ada"], ["bob", 3]], [4, 9]),
    pack([[{"id": n, "name": "x"}] for n in range(3)], range(3)),
    body("orders.new", msgspec.msgpack.encode({"sku": "pen", "price": "1", "at": "2026-01-01T00:00:00Z"})),
    handing.opened((1,), {"number": 2}, [0, 2]) + handing.results([[b"\x07"], [b"\x01", b"\xc0"]]),
    b'{"args": ["ada"], "kwargs": {"number": 7}}',
    b'{"topic": "orders.new", "event": {"sku": "pen", "price": "1.5", "at": "2026-01-01T00:00:00Z"}}',
    msgspec.msgpack.encode(JobOptions(retries=3, timeout=1.5)),
    b"\xc1j" + bytes(36),
    b"\x83\xc1j" + bytes(36),
]
#: What says that it is long, or is deep.
BOMBS = {
    "array of 4 G": b"\xdd\xff\xff\xff\xff",
    "map of 4 G": b"\xdf\xff\xff\xff\xff",
    "text of 4 GB": b"\x91\xdb\xff\xff\xff\xff",
    "bytes of 4 GB": b"\x91\xc6\xff\xff\xff\xff",
    "arrays in arrays": b"\x91" * 200_000,
    "maps in maps": b"\x81\xa1a" * 200_000,
    "arrays of 4 G in arrays": b"\xdd\xff\xff\xff\xff" * 1000,
    "row of 4 G": b"\x93\xdd\xff\xff\xff\xff",
    "JSON arrays": b'{"args": ' + b"[" * 200_000,
    "JSON objects": b'{"args": [' + b'{"a":' * 200_000,
    "JSON number": b'{"args": [' + b"9" * 200_000 + b"]}",
    "JSON exponent": b'{"args": [1e999999999]}',
    "results in results": handing.opened((), {}, [2**31]) + b"\xdd\xff\xff\xff\xff",
    "many shapes": handing.opened((), {}, [2**31] * 3) + handing.results([[b"\xc0"]]),
    "numbers of a row": msgspec.msgpack.encode([[["a"]], 0, [2**64 - 1]]),
    "decimal": msgspec.msgpack.encode([{"sku": "a", "price": "1e99999999", "at": "9999-12-31T23:59:59Z"}]),
}


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Something valid, of which some bytes are others, are missing, or come twice."""
    data = bytearray(draw(st.sampled_from(VALID)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=4) | st.just(bytes(data[:8])))
    return bytes(data)


PAYLOADS = st.binary(max_size=64) | mutated()
TASKS = ["plain", "nested", "variadic", "anything", "many", "hear", "sink:rows"]


def run(app: Penstock, task: str, payload: bytes, *, packed: bool, options: bytes | None = None) -> Outcome:
    runner = app.runner()
    try:
        return runner.run(Lease(b"i" * 16, 1, 1, task, payload, options=options, packed=packed, items=2 if packed else 1, batch=b"b" * 16 if packed else None))  # fmt: skip
    finally:
        runner.close()


@FUZZ
@given(st.sampled_from(TASKS), PAYLOADS, st.booleans(), st.none() | PAYLOADS)
def test_a_worker_ends_every_job(app: Penstock, task: str, payload: bytes, packed: bool, options: bytes | None) -> None:
    assert task in app.tasks
    outcome = run(app, task, payload, packed=packed, options=options)
    assert outcome.ending in (Ending.DONE, Ending.DEAD, Ending.RETRY)
    for failure in (outcome.failure, *(job.failure for job in outcome.follow_ups)):
        assert failure is None or failure.kind in {"PayloadError", "Rejected", "Expired"}, failure.traceback


@FUZZ
@given(PAYLOADS, st.booleans())
def test_what_is_shown_of_a_job_is_said_in_words(payload: bytes, packed: bool) -> None:
    record = JobRecord(b"i" * 16, "plain", "q", 5, State.DEAD, 0, 0, 0.0, payload, packed=packed)
    arguments(record)
    topic(record)
    with suppress(PayloadError):
        decode_value(payload)


MESSAGE = [b"i" * 16, "t", b"\x90", "q", 5, 1, 0, None, 1, False, None, 1.5, 2.5]
OTHERS = [b"i", b"i" * 17, "\0", -1, 10, 2**31, 2**64 - 1, float("nan"), float("inf"), None, [], {}, True, msgspec.Raw(b"\xa1\xff"), msgspec.Raw(b"\x91" * 50_000 + b"\x90")]  # fmt: skip


@FUZZ
@given(st.lists(st.tuples(st.integers(0, 13), st.sampled_from(OTHERS)), max_size=3), PAYLOADS, st.booleans())
def test_every_message_is_a_job_or_is_said_to_be_none(
    changes: list[tuple[int, Any]], other: bytes, whole: bool
) -> None:
    parts = [*MESSAGE]
    for at, value in changes:
        parts[at : at + 1] = [value]
    with suppress(PayloadError):
        found = message.decode(msgspec.msgpack.encode(parts) if whole else other)
        assert len(found.id) == 16
        assert found.priority in range(10)
        assert abs(found.rest) + abs(found.due) < float("inf")
        assert message.encode(found)


def within_bounds(act: Callable[[], object]) -> None:
    began = time.process_time()
    tracemalloc.start()
    try:
        act()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < BYTES
    assert time.process_time() - began < SECONDS


@pytest.mark.parametrize("bomb", list(BOMBS.values()), ids=list(BOMBS))
def test_a_bomb_does_not_go_off(app: Penstock, bomb: bytes) -> None:
    def act() -> None:
        for task in TASKS:
            for packed in (False, True):
                run(app, task, bomb, packed=packed)
        arguments(JobRecord(b"i" * 16, "plain", "q", 5, State.DEAD, 0, 0, 0.0, bomb))
        with suppress(PayloadError):
            message.decode(bomb)

    within_bounds(act)


def documents() -> st.SearchStrategy[dict[str, Any]]:
    """Documents that look like messages of the inbox, more or less."""
    values = st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=8) | st.binary(max_size=8)
        | st.datetimes() | st.builds(bson.ObjectId) | st.builds(bson.Regex, st.just("a")) | st.builds(bson.Timestamp, st.integers(0, 9), st.integers(0, 9))
        | st.sampled_from(["1.5", "NaN", "-Infinity", "1E+6000"]).map(bson.Decimal128),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=4), inner, max_size=3),
        max_leaves=5,
    )  # fmt: skip
    names = st.sampled_from(["task", "args", "kwargs", "queue", "priority", "delay", "run_at", "unique", "at_most_once", "_id", "x"])  # fmt: skip
    return st.dictionaries(names, values, max_size=6)


@FUZZ
@given(documents(), st.lists(st.tuples(st.integers(0, 300), st.binary(min_size=1, max_size=2)), max_size=2))
@example({"task": "a", "args": [bson.Decimal128("NaN"), bson.MinKey(), bson.Code("x")]}, [])
def test_every_document_of_the_inbox_becomes_a_job(
    document: dict[str, Any], mutations: list[tuple[int, bytes]]
) -> None:
    raw = bytearray(bson.encode(document))
    for at, new in mutations:
        # Not its length, by which it came here as one.
        place = 4 + at % (len(raw) - 4)
        raw[place : place + len(new)] = new[: len(raw) - place]
    for data in (bytes(raw), bytes(raw[:4]) + bytes(raw[4:])[::-1]):
        job = job_of(data)
        assert isinstance(job, NewJob)
        assert len(job.id) == 16
        assert job.dead is (job.failure is not None)


TEXTS = st.binary(max_size=200) | st.text('{}[]",:\\\r\n\t\x00 aeu1.-+é\ud7ff\ufeff"', max_size=200).map(str.encode)


@FUZZ
@given(TEXTS, st.sampled_from(["a.json", "a.jsonl", "a.csv", "a"]), st.booleans(), st.booleans())
def test_every_file_is_read_to_its_end_or_refused(data: bytes, name: str, zipped: bool, cut: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"{name}.gz" if zipped else name)
        path.write_bytes(gzip.compress(data, 1)[: -5 if cut else None] if zipped else data)
        at, end, turns = Position(), False, 0
        with suppress(SourceError), Source.open(str(path), position=at) as source:
            while not end:
                found = source.read(max_records=3, max_bytes=64)
                end, turns = found.end, turns + 1
                assert turns < 1000
                assert all(isinstance(record, dict) for record in found.records)


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.csv"])
@pytest.mark.parametrize("data", [b"[" * 400_000, b'{"a":' * 100_000, b'"' * 400_000, b"," * 400_000, b'[{"a": "' + b"x" * 400_000])  # fmt: skip
def test_a_file_that_is_deep_or_one_record_takes_no_long_time(tmp_path: Path, name: str, data: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    began = time.process_time()
    with suppress(SourceError), Source.open(str(path), longest=1 << 17) as source:
        while not source.read(max_records=100, max_bytes=1 << 17).end:
            pass
    assert time.process_time() - began < SECONDS
