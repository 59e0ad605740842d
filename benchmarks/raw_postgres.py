"""The raw loop of PostgreSQL: a bare table, acks and claims in one statement, and nothing of Penstock around it.

`python -m benchmarks.raw_postgres URL fill COUNT` makes the table; `... drain HOLDER` says `ready`, waits for a line,
and prints its first and last moment and how many jobs it ended.
"""

from __future__ import annotations

import sys
import time

import psycopg

_AT_ONCE = 250
_TABLE = """
drop schema if exists bare cascade;
create schema bare;
create table bare.job (
  seq bigint generated always as identity primary key, queue text not null, priority smallint not null,
  state smallint not null default 0, holder integer, task text not null, payload bytea not null
);
create index job_ready on bare.job (queue, priority, seq) where state = 0
"""
_FILL = "insert into bare.job (queue, priority, task, payload) select 'default', 5, 'noop', '\\x9101' from generate_series(1, %s)"
_EXCHANGE = """
with ended as (
  delete from bare.job where seq = any(%(held)s) and holder = %(holder)s
), heads as (
  select seq from bare.job where state = 0 and queue = 'default' and priority = 5 and seq > %(low)s
  order by seq limit %(limit)s for update skip locked
)
update bare.job j set state = 1, holder = %(holder)s from heads where j.seq = heads.seq returning j.seq, j.task, j.payload
"""
#: With 1,000 at once the planner turned to slower plans; these pin the one that reads the head of the index.
_PLAN = "set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off; set jit = off"


def fill(url: str, count: int) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(_TABLE)
        connection.execute(_FILL, (count,))


def drain(url: str, holder: int) -> None:
    with psycopg.connect(url, autocommit=True, prepare_threshold=0) as connection:
        connection.execute(_PLAN, prepare=False)
        print("ready", flush=True)
        sys.stdin.readline()
        began = time.monotonic()
        ended, low, held = 0, 0, list[int]()
        cursor = connection.cursor(binary=True)
        while True:
            given = {"held": held, "holder": holder, "low": low, "limit": _AT_ONCE}
            rows = cursor.execute(_EXCHANGE, given).fetchall()
            if not rows and not held:
                break
            held = [row[0] for row in rows]
            ended += len(held)
            low = max(held, default=low)
        print(began, time.monotonic(), ended, flush=True)


if __name__ == "__main__":
    {"fill": fill, "drain": drain}[sys.argv[2]](sys.argv[1], int(sys.argv[3]))
