"""The engine alone, the broker left out."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import msgspec

from benchmarks.figures import Figure, alternate
from benchmarks.places import NOOP
from penstock import Penstock
from penstock.client import new_ids
from penstock.core.codec import encode_value
from penstock.core.job import Lease
from penstock.core.outcome import Outcome


def noop(number: int) -> None:
    """Do nothing."""


class Arguments(msgspec.Struct, array_like=True, gc=False):
    """What the raw loop decodes."""

    number: int


def run(quick: bool) -> list[Figure]:
    """Decode, resolve, call, decide and outcome of a no-op job; raw is decode, call and a frozen value."""
    count = 20_000 if quick else 100_000
    app = Penstock("sqlite:///unused.db")
    app.task(name=NOOP)(noop)
    one = app.runner().run
    leases = [Lease(id, n, 1, NOOP, encode_value((n,))) for n, id in enumerate(new_ids(count))]
    decode = msgspec.msgpack.Decoder(Arguments).decode

    def bare_one(lease: Lease) -> Outcome:
        noop(*msgspec.structs.astuple(decode(lease.payload)))
        return Outcome(lease)

    def timed(one: Callable[[Lease], Outcome]) -> float:
        outcomes: list[Outcome] = []
        done = outcomes.append
        began = time.perf_counter()
        for lease in leases:
            done(one(lease))
        return (time.perf_counter() - began) / count * 1e6

    samples = alternate(5 if quick else 15, lambda: timed(one), lambda: timed(bare_one))
    return [samples.figure("the engine alone, a no-op job", "us", "< 3 us", lambda s: median(s.ours) < 3)]
