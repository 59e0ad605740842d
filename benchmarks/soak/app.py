"""The app of the soak; `$PENSTOCK_URL` names its queue, `$PENSTOCK_SOAK` the folder of the shared files."""

from __future__ import annotations

import os
import time
from functools import cache
from pathlib import Path

from benchmarks.soak.marks import ANSWERS, DOOMED, EACH, FAILS_ONCE, Marks, Probes
from penstock import Penstock

FOLDER = "PENSTOCK_SOAK"

app = Penstock()


class Doomed(Exception):
    """Makes a job a dead letter."""


@app.task(retries=3, backoff=2.0, give_up=(Doomed,), result_ttl=300)
def work(number: int) -> int | None:
    """Mark the byte of a number; some fail once, a few are dead letters, and some return a value, which is kept for five minutes."""
    starts = _marks().add(number)
    if number % EACH == FAILS_ONCE and starts == 1:
        raise ConnectionError("the first attempt fails")
    if number % DOOMED == DOOMED - 1:
        raise Doomed(f"job {number} fails for good")
    return number if number % ANSWERS == 0 else None


@app.task
def probe(number: int) -> None:
    """Note when this one starts."""
    now = time.monotonic()
    _probes().start(number, now)


@cache
def _marks() -> Marks:
    return Marks(place() / "marks")


@cache
def _probes() -> Probes:
    return Probes(place() / "probes")


def place() -> Path:
    """The folder of the shared files."""
    return Path(os.environ[FOLDER])
