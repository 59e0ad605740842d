"""The app whose jobs the benchmarks run; `$PENSTOCK_URL` names its queue."""

from __future__ import annotations

import mmap
import os
import struct
import time

from penstock import Penstock

STAMPS = "PENSTOCK_BENCH_STAMPS"
STAMP = struct.Struct("d")

app = Penstock()
_memory: list[mmap.mmap] = []


@app.task
def noop(number: int) -> None:
    """Do nothing."""


@app.task
def nap(seconds: float) -> None:
    """Wait, as for an answer from afar."""
    time.sleep(seconds)


@app.task
def stamp(number: int) -> None:
    """Note the time of the start in the shared file that the environment names."""
    now = time.monotonic()
    if not _memory:
        with open(os.environ[STAMPS], "r+b") as file:
            _memory.append(mmap.mmap(file.fileno(), 0))
    STAMP.pack_into(_memory[0], number * STAMP.size, now)


@app.task
def last(seconds: float) -> float:
    """Wait, and return when that was over."""
    time.sleep(seconds)
    return time.monotonic()


@app.task(timeout=0.3, kill_after=0.2, retries=0)
def stuck(number: int) -> None:
    """Note the time of the start, and hold the GIL in C from then on."""
    stamp.function(number)
    sum(range(10**12))


@app.task
def pause(seconds: float) -> None:
    """Wait as code does that knows nothing of event loops."""
    time.sleep(seconds)


@app.task
async def pause_async(seconds: float) -> None:
    """Wait as code does that knows."""
    import asyncio  # which no other benchmark should pay for

    await asyncio.sleep(seconds)


@app.task
def slow(seconds: float) -> None:
    """Be in the way."""
    time.sleep(seconds)
