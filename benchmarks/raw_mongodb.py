"""The raw loops of MongoDB: a bare collection, and nothing of Penstock around it.

`python -m benchmarks.raw_mongodb URL fill COUNT` makes it; `... drain HOLDER` claims 500 at once by a token, `... one
HOLDER` one at a time by `find_one_and_update`. Both say `ready`, wait for a line, and print their first and last moment
and how many jobs they ended.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import pymongo
from pymongo.collection import Collection

_AT_ONCE = 500


def fill(url: str, count: int) -> None:
    with client(url) as connected:
        jobs = connected.bare.jobs
        jobs.drop()
        jobs.create_index(
            [("queue", 1), ("priority", 1), ("place", 1)],
            name="ready", partialFilterExpression={"place": {"$exists": True}},
        )  # fmt: skip
        for start in range(0, count, 10_000):
            jobs.insert_many([job(n) for n in range(start, min(count, start + 10_000))], ordered=False)


def job(place: int) -> dict[str, Any]:
    return {"_id": os.urandom(16), "queue": "default", "priority": 5, "place": place, "task": "noop", "payload": b"\x91\x01"}  # fmt: skip


def drain(url: str, holder: int) -> None:
    with client(url) as connected:
        _measure(_by_token(connected.bare.jobs, holder))


def one(url: str, holder: int) -> None:
    with client(url) as connected:
        _measure(_one_by_one(connected.bare.jobs, holder))


def _measure(ending: Iterator[int]) -> None:
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.monotonic()
    ended = sum(ending)
    print(began, time.monotonic(), ended, flush=True)


def _by_token(jobs: Collection[dict[str, Any]], holder: int) -> Iterator[int]:
    claim = 0
    while True:
        ready = jobs.find({"queue": "default", "priority": 5, "place": {"$gte": 0}}, {"_id": 1}).hint("ready")
        ids = [found["_id"] for found in ready.sort("place", 1).limit(_AT_ONCE)]
        if not ids:
            return
        claim += 1
        token = f"{holder}-{claim}"
        jobs.update_many(
            {"_id": {"$in": ids}, "place": {"$gte": 0}}, {"$set": {"token": token}, "$unset": {"place": 1}}
        )
        held = [found["_id"] for found in jobs.find({"_id": {"$in": ids}, "token": token})]
        if held:
            yield jobs.delete_many({"_id": {"$in": held}, "token": token}).deleted_count


def _one_by_one(jobs: Collection[dict[str, Any]], holder: int) -> Iterator[int]:
    ready = {"queue": "default", "priority": 5, "place": {"$gte": 0}}
    while True:
        found = jobs.find_one_and_update(
            ready, {"$set": {"token": holder}, "$unset": {"place": 1}}, sort=[("place", 1)], hint="ready"
        )
        if found is None:
            return
        yield jobs.delete_one({"_id": found["_id"], "token": holder}).deleted_count


def client(url: str) -> pymongo.MongoClient[dict[str, Any]]:
    return pymongo.MongoClient(url, w="majority", journal=True)


if __name__ == "__main__":
    {"fill": fill, "drain": drain, "one": one}[sys.argv[2]](sys.argv[1], int(sys.argv[3]))
