"""Procrastinate's app."""

from __future__ import annotations

import os
from collections.abc import Iterable

import procrastinate

from benchmarks.peers import slots

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=os.environ["PENSTOCK_PEERS_URL"]))
_opened: list[bool] = []


@app.task(name="mark")
async def mark(number: int) -> None:
    """Mark the slot of a number."""
    slots.mark(number)


async def _open() -> None:
    if not _opened:
        _opened.append(True)
        await app.open_async()


async def install() -> None:
    """Make the tables."""
    await _open()
    await app.schema_manager.apply_schema_async()


async def one(number: int) -> None:
    """Enqueue one."""
    await _open()
    await mark.defer_async(number=number)


async def many(numbers: Iterable[int]) -> None:
    """Enqueue many."""
    await _open()
    await mark.batch_defer_async(*({"number": number} for number in numbers))
