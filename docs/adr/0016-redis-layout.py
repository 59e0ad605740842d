"""The layouts that were measured for Redis: memory per queued job, and the drain of each, two processes, 500 in a call.

Run with a server that holds nothing: `python docs/adr/0016-redis-layout.py PORT`.
"""

import os
import struct
import subprocess
import sys
import time

import msgspec
import redis

JOBS = 200_000
AT_ONCE = 500
P = "{penstock}:"

# One hash of packed records by id; of each queue a list of place and id; of each claim a set of ids.
ONE_HASH = (
    """
local p, ids, recs = KEYS[1], {}, {}
for i = 1, #ARGV, 2 do ids[#ids+1] = ARGV[i]; recs[#recs+1] = ARGV[i+1] end
local pos = redis.call('INCRBY', p..'pos', #ids) - #ids
local pairs_, elems = {}, {}
for i = 1, #ids do
  pairs_[2*i-1] = ids[i]; pairs_[2*i] = recs[i]; elems[i] = struct.pack('>I6', pos + i) .. ids[i]
end
redis.call('HSET', p..'jobs', unpack(pairs_)); redis.call('RPUSH', p..'q', unpack(elems))
""",
    """
local p, claim, done = KEYS[1], ARGV[1], {unpack(ARGV, 3)}
if #done > 0 and redis.call('SREM', p..'c:'..claim, unpack(done)) == #done then redis.call('HDEL', p..'jobs', unpack(done)) end
local elems = redis.call('LPOP', p..'q', ARGV[2])
if not elems then return false end
local ids = {}
for i = 1, #elems do ids[i] = string.sub(elems[i], 7) end
local recs = redis.call('HMGET', p..'jobs', unpack(ids))
claim = redis.call('INCR', p..'claim')
redis.call('SADD', p..'c:'..claim, unpack(ids))
return {claim, table.concat(ids), struct.pack('>BI4', 221, #recs)..table.concat(recs)}
""",
)

# The same with a sorted set for what is ready.
ZSET = (
    ONE_HASH[0]
    .replace("elems[i] = struct.pack('>I6', pos + i) .. ids[i]", "elems[2*i-1] = pos + i; elems[2*i] = ids[i]")
    .replace("'RPUSH'", "'ZADD'"),
    ONE_HASH[1]
    .replace("redis.call('LPOP', p..'q', ARGV[2])", "redis.call('ZPOPMIN', p..'q', ARGV[2])")
    .replace("if not elems", "if #elems == 0")
    .replace(
        "for i = 1, #elems do ids[i] = string.sub(elems[i], 7) end",
        "for i = 1, #elems, 2 do ids[(i+1)/2] = elems[i] end",
    ),
)

# One key for each job, packed.
STRINGS = (
    ONE_HASH[0]
    .replace("pairs_[2*i-1] = ids[i]", "pairs_[2*i-1] = p..'j:'..ids[i]")
    .replace("'HSET', p..'jobs', ", "'MSET', "),
    ONE_HASH[1]
    .replace(
        "redis.call('HDEL', p..'jobs', unpack(done))",
        "for i = 1, #done do done[i] = p..'j:'..done[i] end redis.call('DEL', unpack(done))",
    )
    .replace(
        "local recs = redis.call('HMGET', p..'jobs', unpack(ids))",
        "local ks = {} for i = 1, #ids do ks[i] = p..'j:'..ids[i] end local recs = redis.call('MGET', unpack(ks))",
    ),
)

# One hash for each job, with a field for each value.
HASHES = (
    ONE_HASH[0]
    .replace(
        "pairs_[2*i-1] = ids[i]; pairs_[2*i] = recs[i];",
        "redis.call('HSET', p..'j:'..ids[i], 'task', 'app.noop', 'payload', recs[i], 'queue', 'default', 'priority', 5, 'attempt', 0, 'at', 1.5);",
    )
    .replace("redis.call('HSET', p..'jobs', unpack(pairs_));", ""),
    ONE_HASH[1]
    .replace(
        "redis.call('HDEL', p..'jobs', unpack(done))",
        "for i = 1, #done do done[i] = p..'j:'..done[i] end redis.call('DEL', unpack(done))",
    )
    .replace(
        "local recs = redis.call('HMGET', p..'jobs', unpack(ids))",
        "local recs = {} for i = 1, #ids do local h = redis.call('HMGET', p..'j:'..ids[i], 'task', 'payload', 'queue', 'priority', 'attempt') recs[i] = h[2] end",
    ),
)

LAYOUTS = {
    "one hash, list": ONE_HASH,
    "one hash, sorted set": ZSET,
    "a string per job, list": STRINGS,
    "a hash per job, list": HASHES,
}


def record(number: int) -> bytes:
    """A job as it is stored."""
    head = struct.pack(">BBQBdBHBHBB", 0x9F, 0xCF, number, 0xCB, time.time(), 0xCD, 0, 0xCD, 0, 0, 0)
    return head + msgspec.msgpack.encode(("app.noop", b"\x91\x01", "default", 5, None, None, 1, None, None))[1:]


def drain(port: int, name: str) -> None:
    """One of the processes."""
    client = redis.Redis(port=port)
    script = client.script_load(LAYOUTS[name][1])
    decode = msgspec.msgpack.Decoder(list[tuple[object, ...]]).decode
    print("ready", flush=True)
    sys.stdin.readline()
    began, ended, claim, done = time.monotonic(), 0, 0, []
    while answer := client.evalsha(script, 1, P, claim, AT_ONCE, *done):
        claim, ids, blob = answer
        done = [ids[n : n + 16] for n in range(0, len(ids), 16)]
        ended += len(decode(blob))
    print(began, time.monotonic(), ended, flush=True)


def cpu(client: redis.Redis) -> float:
    """Seconds that the server has computed for."""
    told = client.info("cpu")
    return told["used_cpu_user"] + told["used_cpu_sys"]


def main(port: int) -> None:
    """Measure each layout in turn."""
    client = redis.Redis(port=port)
    for name, (store, _) in LAYOUTS.items():
        client.flushall()
        before = client.info("memory")["used_memory"]
        spent = cpu(client)
        for start in range(0, JOBS, 1000):
            ids = [
                (n << 64 | int.from_bytes(os.urandom(8), "big")).to_bytes(16, "big") for n in range(start, start + 1000)
            ]
            recs = [record(n) for n in range(start, start + 1000)]
            client.eval(store, 1, P, *(part for pair in zip(ids, recs, strict=True) for part in pair))
        stored = cpu(client) - spent
        memory = (client.info("memory")["used_memory"] - before) / JOBS
        command = [sys.executable, __file__, str(port), name]
        running = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)
        ]
        for process in running:
            process.stdout.readline()
        for process in running:
            process.stdin.write("go\n")
            process.stdin.flush()
        spent = cpu(client)
        told = [process.communicate()[0].split() for process in running]
        spent = cpu(client) - spent
        drained = sum(int(line[2]) for line in told) / (
            max(float(line[1]) for line in told) - min(float(line[0]) for line in told)
        )
        of = f"{stored / JOBS * 1e6:.2f} + {spent / JOBS * 1e6:.2f} us"
        print(f"{name:24} {memory:6.0f} bytes a job   {of} of the server's CPU in and out   {drained:9,.0f}/s out")


if __name__ == "__main__":
    drain(int(sys.argv[1]), sys.argv[2]) if len(sys.argv) > 2 else main(int(sys.argv[1]))
