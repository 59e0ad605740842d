"""Days of work on a store through a proxy, each harmed at one exchange, and what became of them: see `chaos_day` and `exchanges`."""

import itertools
import json
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pymongo
from chaos_day import GATHERED, ITEMS, NARROW, PLAIN, ROWS
from exchanges import Exchanges, Fault
from oracle import HERE

from penstock.brokers import connect
from penstock.brokers.base import Broker
from penstock.brokers.inspect import BatchRecord, QueueCounts, Selection
from penstock.chaos.detour import by_way_of
from penstock.client import new_id
from penstock.core.codec import decode_value
from penstock.core.job import NewJob
from penstock.core.states import State

_numbers = itertools.count(1)
#: What is to run, and no more than once but where `Account.excused` says so.
WANTED = {
    *(f"plain{n}" for n in range(PLAIN)), "kept", "flaky1", "flaky2", "hopeless", *(f"narrow{n}" for n in range(NARROW)),
    *(f"gathered{n}" for n in range(GATHERED)), *(f"item{n}.1" for n in range(ITEMS)), "item1.2", "step1", "step2", "total3", "heard7", "hourly",
}  # fmt: skip
#: Of these, what is stored as a message where jobs are messages, by the act that sends it.
SENT = {
    "plain": {f"plain{n}" for n in range(PLAIN)},
    "others": {"kept", "flaky1", "flaky2", "hopeless", *(f"gathered{n}" for n in range(GATHERED))},
    "event": {"heard7"},
    "hourly": {"hourly"},
}


class Place(NamedTuple):
    """A store, reached through a proxy and past it, and where the sink's rows are.

    `hasty` and `hasty_rows` are what has a client of either give up soon on a server that does not answer.
    """

    url: str
    proxied: str
    hasty: str
    rows_url: str
    hasty_rows: str
    rows_from: Callable[[int], list[int]]


#: By the schemes of URLs. PostgreSQL has no such parameter.
_HASTY = {"redis": "&timeout=0.3", "mongodb": "&socketTimeoutMS=300", "amqp": "&heartbeat=1"}


def place_of(url: str, port: int, folder: Path) -> Place:
    """A place, given its URL and the port of the proxy before it."""
    address = url.partition("?")[0]
    scheme = address.partition(":")[0]
    hasty, hasty_rows = _HASTY.get(scheme, ""), ""
    rows_url, rows_from = f"sqlite:///{folder}/rows.db?durability=off", partial(_in_file, str(folder / "rows.db"))
    if scheme == "postgresql":
        rows_url, rows_from = by_way_of(address, port), partial(_in_postgres, address)
    elif scheme == "mongodb":
        rows_url, rows_from = by_way_of(address, port), partial(_in_mongodb, f"{address}?directConnection=true")
        hasty_rows = hasty
    return Place(url, by_way_of(url, port), hasty, rows_url, hasty_rows, rows_from)


def _in_file(path: str, first: int) -> list[int]:
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("select id from rows where id >= ? order by id limit ?", (first, ROWS))
        return [row[0] for row in found]


def _in_postgres(address: str, first: int) -> list[int]:
    with psycopg.connect(address) as connection:
        found = connection.execute("select id from rows where id >= %s order by id limit %s", (first, ROWS))
        return [row[0] for row in found]


def _in_mongodb(address: str, first: int) -> list[int]:
    with pymongo.MongoClient[dict[str, Any]](address) as client:
        found = client.get_default_database()["rows"].find({"id": {"$gte": first}}).sort("id", 1).limit(ROWS)
        return [row["id"] for row in found]


class Days:
    """The days of one place, each with processes of its own."""

    def __init__(self, place: Place, proxy: Exchanges, folder: Path) -> None:
        self._place, self._proxy, self._folder = place, proxy, folder
        self._errors = folder / "errors"
        with self._errors.open("ab") as errors:
            self._program = subprocess.Popen(
                [sys.executable, "-W", "error", str(HERE / "chaos_day.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=errors, text=True,
            )  # fmt: skip

    @property
    def is_hasty(self) -> bool:
        """Can its clients be had to give up soon on a server that does not answer?"""
        return bool(self._place.hasty)

    def close(self) -> None:
        with self._program as program:
            assert program.stdin is not None
            program.stdin.close()
            program.wait(70)

    def _order(self, **order: Any) -> str:
        assert self._program.stdin is not None
        print(json.dumps(order), file=self._program.stdin, flush=True)
        return self._said()

    def _said(self) -> str:
        assert self._program.stdout is not None
        said = self._program.stdout.readline().strip()
        assert said, self._errors.read_text()
        return said

    def _live(self, act: str, **order: Any) -> bool:
        """Have a process do it; was it killed over it?"""
        assert self._program.stdin is not None
        self._proxy.victim = int(self._order(act=act, **order))
        print(file=self._program.stdin, flush=True)
        status = int(self._said())
        assert status == 0 or (status == -9 and self._proxy.fault.kills and self._proxy.harmed), (
            self._errors.read_text()
        )
        return status != 0

    def day(self, at: int = 0, fault: Fault = Fault.CUT_BEFORE) -> "Account":
        """One day; the exchange `at` is harmed."""
        number = next(_numbers)
        log = self._folder / f"log{number}"
        url = self._place.proxied + (self._place.hasty if fault.hangs else "")
        rows = self._place.rows_url + (self._place.hasty_rows if fault.hangs else "")
        words = {"url": url, "rows": rows, "log": str(log), "number": number}
        ids = {name: bytes.fromhex(id) for name, id in json.loads(self._order(act="day", **words)).items()}

        def harmed() -> None:
            with log.open("a") as file:
                file.write("harmed\n")

        self._proxy.watch(at, fault, harmed)
        for act in ("start", "send"):
            while self._live(act):
                pass
        for worker in itertools.count(1):
            if not self._live("work", number=worker, buried=at % 2 == 0):
                break
        notes = [line.split() for line in log.read_text().splitlines()]
        return Account(self._place, number, ids, notes, fault, self._proxy.count)


class Account:
    """What became of a day.

    Parameters:
        ids: of what is looked up, by what it is.
        notes: words of the day's processes, and of the proxy.
        steps: exchanges that were made.
    """

    def __init__(
        self, place: Place, number: int, ids: dict[str, bytes], notes: list[list[str]], fault: Fault, steps: int
    ) -> None:
        self._place, self._number, self._ids, self._notes = place, number, ids, notes
        self._kills, self._hangs = fault.kills, fault.hangs
        self._messages = place.url.startswith("amqp")
        self.steps = steps
        self.is_harmed = ["harmed"] in notes
        self.ran = Counter(note[1] for note in notes if note[0] == "ran")

    def __str__(self) -> str:
        return " | ".join(map(" ".join, self._notes))

    def excused(self) -> set[str]:
        """What may run again: what had run when a process was killed, and the store had not confirmed.

        Where jobs are messages it is so when a connection breaks, too, until the process has seen that; and what was being sent then may be there twice.
        """
        words = [note[0] for note in self._notes]
        if "harmed" not in words or not (self._kills or self._messages):
            return set()
        first, last = words.index("harmed"), len(words) - 1 - words[::-1].index("harmed")
        told = [n for n, word in enumerate(words) if word == "told"]
        before, after = [n for n in told if n < first], [n for n in told if n > last]
        if not self._messages:
            return self._runs(max(before, default=0), first)
        if self._hangs:
            # On a busy machine a client that gives up so soon does so at other times, too.
            return set().union(*SENT.values())
        # That a message has ended is said, and not answered.
        excused = self._runs(before[-2] if len(before) > 1 else 0, after[0] if after else len(words))
        for name, what in SENT.items():
            # It was refused, or its process was killed, and who sends knows no better than to send it again.
            sending = self._notes[:last].count(["sending", name])
            if self._notes.count(["sending", name]) > 1 or (sending and ["sent", name] not in self._notes[:first]):
                excused |= what
        return excused | ({"flaky2"} if "flaky1" in excused else set())

    def _runs(self, begin: int, end: int) -> set[str]:
        return {note[1] for note in self._notes[begin:end] if note[0] == "ran"}

    def check(self) -> None:
        """Nothing is lost or stuck; nothing ran twice, but for what is excused; and the store has it right."""
        ran, excused = self.ran, self.excused()
        assert WANTED - set(ran) == set(), "lost"
        assert {what for what, times in ran.items() if times > 1} <= excused, "doubled"
        first = self._number * ROWS
        assert self._place.rows_from(first) == [first + n for n in range(ROWS)]
        with closing(connect(self._place.url)) as broker:
            broker.open()
            self._check_store(broker)

    def _check_store(self, broker: Broker) -> None:
        inspector, ids = broker.inspector(), self._ids
        records = inspector.list(Selection(), limit=1000)
        assert [one for one in records if one.state not in (State.DONE, State.DEAD)] == [], "stuck"
        dead = Counter(one.task for one in records if one.state is State.DEAD)
        # What may not run twice has run, or has not; and where nobody can tell, it is a dead letter.
        assert self.ran["once"] + dead["once"] in ((1, 2) if self._kills else (1,))
        assert {task: count for task, count in dead.items() if task != "once"} == {"hopeless": 1}
        value = inspector.result(ids["kept"])
        assert value is not None
        assert decode_value(value, int) == 42
        assert [_counts(inspector.batch(ids[name])) for name in ("packed", "rows")] == [
            (ITEMS, ITEMS, 0, 1),
            (ROWS, ROWS, 0, 0),
        ]
        flow = broker.workflows().get(ids["flow"])
        assert flow is not None
        assert (flow.state, flow.counts) == (State.DONE, (3, 3, 0))
        inspector.delete(Selection(state=State.DEAD))
        assert [one for one in inspector.count() if one != QueueCounts(one.queue)] == []
        held = NewJob(new_id(), "plain", b"\x91\x09", unique=f"u{self._number}")
        assert broker.enqueue([held]) == [held.id], "the unique key is not free"
        assert broker.purge("default") == 1


def _counts(batch: BatchRecord | None) -> tuple[int, ...]:
    return () if batch is None else (batch.total, batch.done, batch.failed, batch.retried)
