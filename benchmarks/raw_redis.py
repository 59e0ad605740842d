"""The raw loops of Redis: a list and a hash, one Lua call for 500 jobs, and nothing of Penstock around it.

`python -m benchmarks.raw_redis URL fill COUNT` makes them; `... drain HOLDER` ends 500 and takes the next by each call. It says `ready`, waits
for a line, and prints its first and last moment and how many jobs it ended.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import msgspec
import redis

_AT_ONCE = 500
_DRAIN = """
local done = {unpack(ARGV, 2)}
if #done > 0 then redis.call('HDEL', KEYS[2], unpack(done)) redis.call('SREM', KEYS[3], unpack(done)) end
local ids = redis.call('LPOP', KEYS[1], ARGV[1])
if not ids then return {} end
redis.call('SADD', KEYS[3], unpack(ids))
return {ids, redis.call('HMGET', KEYS[2], unpack(ids))}
"""
_STORE = "redis.call('HSET', KEYS[2], ARGV[1], ARGV[2]) redis.call('RPUSH', KEYS[1], ARGV[1])"


def enqueue(url: str, count: int) -> float:
    """Jobs a second that go in one by one, by one Lua call each."""
    with redis.Redis.from_url(url) as client:
        script = client.script_load(_STORE)
        began = time.perf_counter()
        for number in range(count):
            client.evalsha(script, 2, "raw:queue", "raw:jobs", number, msgspec.msgpack.encode(("noop", (number,))))
        took = time.perf_counter() - began
        client.delete("raw:queue", "raw:jobs")
        return count / took


def fill(url: str, count: int) -> None:
    with redis.Redis.from_url(url) as client:
        client.delete("raw:queue", "raw:jobs")
        for start in range(0, count, 1000):
            numbers = range(start, min(count, start + 1000))
            with client.pipeline() as pipe:
                pipe.hset(
                    "raw:jobs", mapping={number: msgspec.msgpack.encode(("noop", (number,))) for number in numbers}
                )
                pipe.rpush("raw:queue", *numbers)
                pipe.execute()


def drain(url: str, holder: int) -> None:
    with redis.Redis.from_url(url) as client:
        ending = _ended(client, f"raw:running:{holder}")
        print("ready", flush=True)
        sys.stdin.readline()
        began = time.monotonic()
        ended = sum(ending)
        print(began, time.monotonic(), ended, flush=True)


def _ended(client: redis.Redis, running: str) -> Iterator[int]:
    script = client.script_load(_DRAIN)
    decode = msgspec.msgpack.Decoder(tuple[str, tuple[int]]).decode
    ids: list[bytes] = []
    while True:
        answer = client.evalsha(script, 3, "raw:queue", "raw:jobs", running, _AT_ONCE, *ids)
        if not answer:
            return
        ids, jobs = answer
        for job in jobs:
            decode(job)
        yield len(ids)


if __name__ == "__main__":
    {"fill": fill, "drain": drain}[sys.argv[2]](sys.argv[1], int(sys.argv[3]))
