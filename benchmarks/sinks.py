"""Sinks: the rows of single jobs, each known by its own id, against whole batches of the same rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec

from benchmarks.figures import AtLeast, Figure, alternate
from benchmarks.places import folder
from benchmarks.targets import Target, targets
from penstock.cli.demo import orders
from penstock.core.ids import uuid7s
from penstock.sinks import base, open_sink
from penstock.sinks.base import Sink

_BATCH = 1000
_GOAL = 0.6


def run(quick: bool) -> list[Figure]:
    """One program without a queue: batches of 1,000 orders, one after another, each batch ending the one before."""
    count = 20_000 if quick else 100_000
    rows = [msgspec.json.decode(line) for line in orders(count, 0)]
    payloads = [msgspec.msgpack.encode(rows[start : start + _BATCH]) for start in range(0, count, _BATCH)]
    with folder() as place, targets(place) as kinds:
        return [_figure(target, payloads, 3 if quick else 5) for target in kinds]


def _figure(target: Target, payloads: Sequence[bytes], repeats: int) -> Figure:
    samples = alternate(repeats, lambda: _rate(target, payloads, _jobs), lambda: _rate(target, payloads, _batches))
    what = f"rows of single jobs into {target.name}, {_BATCH:,} at a time"
    return samples.figure(what, "rows/s", f">= {_GOAL} of whole batches (aim 0.7)", AtLeast(_GOAL))


def _rate(target: Target, payloads: Sequence[bytes], write: Callable[[Sink, Sequence[bytes]], None]) -> float:
    with open_sink(target.empty(), base.Target("orders")) as sink:
        write(sink, payloads[:1])
        began = time.perf_counter()
        write(sink, payloads[1:])
        took = time.perf_counter() - began
    count = len(payloads) * _BATCH
    if target.count() != count:
        raise SystemExit(f"{target.name} has {target.count():,} orders, not {count:,}")
    return (count - _BATCH) / took


def _jobs(sink: Sink, payloads: Sequence[bytes]) -> None:
    ended: Sequence[bytes] = ()
    for payload in payloads:
        ids = _ids()
        sink.write_jobs(ids, payload, ended=ended)
        ended = ids


def _batches(sink: Sink, payloads: Sequence[bytes]) -> None:
    for payload in payloads:
        sink.write(_ids()[0], payload)


def _ids() -> list[bytes]:
    return uuid7s(_BATCH, time.time_ns() // 1_000_000, time.time_ns().to_bytes(10, "big"))
