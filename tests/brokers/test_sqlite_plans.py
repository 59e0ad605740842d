"""The plans of SQLite's statements: none reads through a table that grows, unless it is here with the reason why."""

import re
import sqlite3
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from penstock.brokers import connect
from penstock.core.ids import uuid7s
from penstock.core.job import Holder, NewJob
from penstock.core.limiter import Limit
from penstock.core.outcome import Outcome

SQL = files("penstock.brokers.sqlite").joinpath("sql")
STATEMENTS = sorted(entry.name.removesuffix(".sql") for entry in SQL.iterdir() if entry.name.endswith(".sql"))

HEAD = "takes the first entry of an ordered table and stops"
FEW = "what is running, and the workers that run it, are bounded by the slots there are"
BY_HAND = "asked by a person, about everything"
GIVEN = "sorts or groups only the rows it was given"

FEW_LEFT = "one that is on its way, and one that follows it"
LIMITS = "one for each task or queue that is limited"

MAY_SCAN = {
    "count_dead": BY_HAND,
    "count_delayed": BY_HAND,
    "count_parked": BY_HAND,
    "count_ready": BY_HAND,
    "count_running": BY_HAND,
    "count_waiting": BY_HAND,
    "count_totals": "whole tables, whose pages know how many rows they have",
    "few": HEAD,
    "queued": BY_HAND,
    "select_ended": BY_HAND,
    "select_jobs": BY_HAND,
    "select_among": GIVEN,
    "select_batch": GIVEN,
    "records": GIVEN,
    "batches_of": GIVEN,
    "edges_of": GIVEN,
    "ended_of": GIVEN,
    "stage_failure": GIVEN,
    "standing_awaits": GIVEN,
    "stage_results": GIVEN,
    "batch_failed": GIVEN,
    "batch_shrink": GIVEN,
    "held": FEW,
    "leases_of": FEW,
    "holders": FEW,
    "orphans": FEW,
    "running_of_worker": FEW,
    "frontier": FEW,
    "sockets": FEW,
    "workers": FEW,
    "workflows_open": HEAD,
    "next_due": HEAD,
    "order_any": HEAD,
    "backlog": HEAD,
    "depth": "through the jobs that keep an order, which it counts",
    "holder_key": HEAD,
    "limits": LIMITS,
    "lines_of": GIVEN,
    "subscriptions": "all of them, some for each handler that there is",
    "order_of": GIVEN,
    "moved_get": "one row for each shipment of the last days",
    "ship_all_counters": "once a shipment that has room left, through the batches of the last days",
    "ship_delayed": HEAD,
    "ship_ended": HEAD,
    "ship_jobs": GIVEN,
    "ship_left": BY_HAND,
    "ship_ordered": HEAD,
    "ship_parked": HEAD,
    "ship_pending": FEW_LEFT,
    "ship_sizes": GIVEN,
    "schedules": BY_HAND,
    "prune_gates": "once a minute, through the gates that let something pass lately",
}
SCAN = re.compile(r"^SCAN (?!json_each|\w+ VIRTUAL TABLE|CONSTANT ROW|\(subquery|sqlite_master)|TEMP B-TREE")


@pytest.fixture
def database(queue_url: str, queue_file: Path) -> Iterator[sqlite3.Connection]:
    broker = connect(queue_url)
    broker.open()
    connection = sqlite3.connect(queue_file)
    yield connection
    connection.close()
    broker.close()


def plan(connection: sqlite3.Connection, statement: str) -> list[str]:
    text = "\n".join(line for line in statement.splitlines() if not line.startswith("--"))
    numbered = [int(number) for number in re.findall(r"\?(\d+)", text)]
    values = (None,) * (max(numbered) if numbered else text.count("?"))
    return [row[3] for row in connection.execute(f"explain query plan {text}", values)]


def read(name: str) -> str:
    return SQL.joinpath(f"{name}.sql").read_text("utf-8")


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_goes_by_an_index(database: sqlite3.Connection, name: str) -> None:
    scans = [step for step in plan(database, read(name)) if SCAN.search(step)]
    if name in MAY_SCAN:
        assert scans, f"{name} goes by an index by now: take it off the list"
    else:
        assert scans == []


def test_the_claim_reads_the_head_of_the_ready_set_in_its_order(database: sqlite3.Connection) -> None:
    assert plan(database, read("claim_select")) == ["SEARCH penstock_ready USING PRIMARY KEY (queue=?)"]


def test_what_a_claim_took_is_read_from_where_it_lies(database: sqlite3.Connection) -> None:
    assert plan(database, read("claimed")) == [
        "SEARCH r USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
        "SEARCH j USING INTEGER PRIMARY KEY (rowid=?)",
    ]


def test_dead_letters_are_found_without_a_look_at_the_living(database: sqlite3.Connection) -> None:
    assert [step for step in plan(database, read("select_ended")) if step.startswith("SCAN j")] == []


def test_the_next_due_schedule_is_found_by_one_look(database: sqlite3.Connection) -> None:
    for name in ("schedules_due", "schedules_next"):
        (step,) = plan(database, read(name))
        assert (
            step.startswith("SEARCH penstock_schedule USING INDEX penstock_schedule_next (next_at")
            or "COVERING" in step
        )


def steps_of_a_claim(url: str, queued: int, delayed: int, limited: int = 0) -> int:
    """How many steps SQLite's machine takes for a claim of 50, an ending of 50, and an enqueue of 50."""
    broker = connect(url)
    broker.open()
    if limited:
        broker.declare({"t": Limit("1/h", concurrency=1)})
        ids = uuid7s(limited, 1, b"abcdefghij")
        broker.enqueue([NewJob(id, "t", b"", priority=9, gate="t") for id in ids], now=0)
        assert len(broker.exchange((), ["default"], 50, Holder("v"), now=0).leases) == 1
    made = uuid7s(queued + delayed + 50, 1, b"0123456789")
    jobs = [NewJob(id, "t", b"", run_at=None if n < queued else 1e12) for n, id in enumerate(made)]
    broker.enqueue(jobs[:-50], now=0)
    count = 0

    def step() -> int:
        nonlocal count
        count += 1
        return 0

    connection = broker._open
    holder = Holder("w")
    outcomes = [Outcome(lease) for lease in broker.exchange((), ["default"], 50, holder, now=0).leases]
    connection.set_progress_handler(step, 10)
    broker.promote(now=0)
    broker.exchange(outcomes, ["default"], 50, holder, now=0)
    broker.enqueue(jobs[-50:], now=0)
    connection.set_progress_handler(None, 10)
    broker.close()
    return count


def test_a_deep_queue_costs_a_claim_no_more_steps(tmp_path: Path) -> None:
    shallow = steps_of_a_claim(f"sqlite:///{tmp_path}/a.db", 200, 0)
    deep = steps_of_a_claim(f"sqlite:///{tmp_path}/b.db", 20_000, 20_000)
    assert deep <= shallow * 1.1


def test_limited_jobs_in_front_cost_a_claim_of_others_no_more_steps(tmp_path: Path) -> None:
    few = steps_of_a_claim(f"sqlite:///{tmp_path}/a.db", 200, 0, limited=50)
    many = steps_of_a_claim(f"sqlite:///{tmp_path}/b.db", 200, 0, limited=100_000)
    none = steps_of_a_claim(f"sqlite:///{tmp_path}/c.db", 200, 0)
    assert many <= few * 1.1
    assert many <= none * 1.3
