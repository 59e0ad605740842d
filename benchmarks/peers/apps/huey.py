"""Huey's app."""

from __future__ import annotations

import os

from huey import RedisHuey, SqliteHuey

from benchmarks.peers import slots

_url = os.environ["PENSTOCK_PEERS_URL"]
if _url.startswith("redis"):
    huey = RedisHuey("bench", url=_url, results=False)
else:
    huey = SqliteHuey("bench", filename=_url.removeprefix("sqlite:///"), fsync=True, results=False)


@huey.task()
def mark(number: int) -> None:
    """Mark the slot of a number."""
    slots.mark(number)


def one(number: int) -> None:
    """Enqueue one."""
    mark(number)
