"""`penstock load` as a whole: real processes, real files, and real kills."""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from penstock.client import new_ids
from penstock.core.decide import Policy
from penstock.core.job import Lease
from penstock.core.outcome import Ending
from penstock.core.packed import pack
from penstock.load.plan import WRITE, Plan
from penstock.load.program import build

COUNT = 30_000


def orders(count: int, broken: tuple[int, ...] = ()) -> list[str]:
    lines = []
    for number in range(1, count + 1):
        order: dict[str, Any] = {
            "order_id": number,
            "symbol": f"S{number % 50}",
            "price": number / 4,
            "tags": {"n": [number]},
        }
        lines.append('{"order_id": ' if number in broken else json.dumps(order))
    return lines


def write_orders(path: Path, count: int = COUNT, broken: tuple[int, ...] = ()) -> None:
    path.write_text("".join(f"{line}\n" for line in orders(count, broken)))


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "penstock", "load", *arguments]


def run(folder: Path, *arguments: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command(*arguments), cwd=folder, capture_output=True, timeout=60, check=False, input=stdin)


def rows(path: Path, table: str = "orders") -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute(f"select * from {table} order by 1").fetchall()


def summary(done: subprocess.CompletedProcess[bytes]) -> dict[str, Any]:
    assert done.returncode in (0, 3), done.stderr.decode()
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_loads_into_a_table_it_creates(tmp_path: Path) -> None:
    write_orders(tmp_path / "orders.jsonl")
    done = run(tmp_path, "orders.jsonl", "--into", "sqlite:///market.db", "--create", "--json")
    told = summary(done)
    assert (told["complete"], told["records"], told["rejects"]) == (True, COUNT, 0)
    found = rows(tmp_path / "market.db")
    assert len(found) == COUNT
    assert found[0] == (1, "S1", 0.25, '{"n":[1]}')
    assert sorted(entry.name for entry in tmp_path.iterdir() if "penstock" in entry.name) == []


def test_a_file_may_have_any_name(tmp_path: Path) -> None:
    name = "what? 50% #1 ü.jsonl"
    write_orders(tmp_path / name, 10)
    told = summary(run(tmp_path, name, "--into", "sqlite:///market.db", "--table", 'or"ders', "--create", "--json"))
    assert told["records"] == 10
    assert sorted(entry.name for entry in tmp_path.iterdir() if "penstock" in entry.name) == []


def test_loads_gzipped_arrays_and_csv_and_standard_input(tmp_path: Path) -> None:
    records = [json.loads(line) for line in orders(2500)]
    with gzip.open(tmp_path / "array.json.gz", "wt") as file:
        json.dump(records, file)
    lines = "".join(f'{r["order_id"]},{r["symbol"]},{r["price"]},"a\nb"\n' for r in records)
    (tmp_path / "rows.csv").write_text("order_id,symbol,price,note\n" + lines)
    text = "".join(f"{line}\n" for line in orders(2500)).encode()
    into = ("--into", "sqlite:///market.db", "--create", "--json")
    assert summary(run(tmp_path, "array.json.gz", *into))["records"] == 2500
    assert summary(run(tmp_path, "rows.csv", *into))["records"] == 2500
    assert summary(run(tmp_path, "-", "--table", "piped", *into, stdin=text))["records"] == 2500
    assert rows(tmp_path / "market.db", "array") == rows(tmp_path / "market.db", "piped")
    assert rows(tmp_path / "market.db", "rows")[0] == (1, "S1", 0.25, "a\nb")


def test_rejects_are_listed_and_the_rest_goes_in(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "market.db")) as database:
        database.execute(
            "create table orders (order_id integer primary key, symbol text, price real check (price < 900), tags text) strict"
        )
    write_orders(tmp_path / "orders.jsonl", 3700, broken=(10, 2000))
    done = run(tmp_path, "orders.jsonl", "--into", "sqlite:///market.db", "--strict", "--json")
    assert done.returncode == 3, done.stderr
    told = summary(done)
    assert (told["records"], told["rejects"]) == (3597, 103)
    rejects = [json.loads(line) for line in (tmp_path / "orders.jsonl.rejects.jsonl").read_text().splitlines()]
    assert [reject["line"] for reject in rejects] == [10, 2000, *range(3600, 3701)]
    assert "CHECK constraint failed" in rejects[-1]["reason"]
    assert rejects[-1]["record"]["order_id"] == 3700


def test_a_record_that_no_store_can_hold_is_rejected_alone(tmp_path: Path) -> None:
    lines = [*orders(10), '{"order_id": 123456789012345678901234567890, "symbol": "S", "price": 1.0}']
    (tmp_path / "orders.jsonl").write_text("\n".join(lines))
    told = summary(run(tmp_path, "orders.jsonl", "--into", "sqlite:///market.db", "--create", "--json"))
    assert (told["records"], told["rejects"]) == (10, 1)


def test_rows_that_a_commit_refuses_are_all_listed(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "market.db")) as database:
        database.execute("create table orders (order_id integer primary key, symbol text, price real, tags text)")
        database.execute("create trigger no before insert on orders begin select raise(rollback, 'closed'); end")
    write_orders(tmp_path / "orders.jsonl", 3)
    told = summary(run(tmp_path, "orders.jsonl", "--into", "sqlite:///market.db", "--json"))
    assert (told["records"], told["rejects"]) == (0, 3)
    rejects = [json.loads(line) for line in (tmp_path / "orders.jsonl.rejects.jsonl").read_text().splitlines()]
    assert [(reject["line"], "closed" in reject["reason"]) for reject in rejects] == [(1, True), (2, True), (3, True)]


def test_a_missing_table_names_the_flag(tmp_path: Path) -> None:
    write_orders(tmp_path / "orders.jsonl", 5)
    done = run(tmp_path, "orders.jsonl", "--into", "sqlite:///market.db")
    assert done.returncode == 1
    assert b"--create" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("missing.jsonl", None, b"missing.jsonl"),
        ("broken.json", b"this is no JSON", b"broken.json"),
        ("wide.csv", "a,b\n1,2\n".encode("utf-16"), b"UTF-8"),
    ],
)
def test_an_unreadable_file_is_one_clear_line(tmp_path: Path, name: str, content: bytes | None, says: bytes) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = run(tmp_path, name, "--into", "sqlite:///market.db", "--create", "--table", "t")
    assert done.returncode == 1, done.stderr
    assert says in done.stderr
    assert b"Traceback" not in done.stderr


APP = """
import os
from penstock import Penstock
app = Penstock("sqlite:///jobs.db")

@app.task(retries=1, backoff=0.01)
def process(task_id: int, data: str) -> None:
    if task_id % 7 == 0:
        raise ValueError(f"no {data}")
    with open("done.txt", "a") as file:
        file.write(f"{task_id}\\n")
"""


def test_gives_records_to_a_task_and_reports_each_by_its_task_id(tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text(APP)
    tasks = [{"task_id": n, "data": f"Task {n} data"} for n in range(1, 21)] + [{"task_id": 21}]
    (tmp_path / "tasks.json").write_text(json.dumps(tasks))
    done = run(tmp_path, "tasks.json", "--to", "jobs:app.process", "--report", "report.jsonl")
    assert done.returncode == 0, done.stderr
    told = {
        line["task_id"]: line["error"] for line in map(json.loads, (tmp_path / "report.jsonl").read_text().splitlines())
    }
    assert sorted(told) == list(range(1, 22))
    assert {task for task, error in told.items() if error} == {7, 14, 21}
    assert "no Task 7 data" in told[7]
    assert "data" in told[21]
    assert b"task 1: ok" in done.stderr
    assert b"task 7: ValueError: no Task 7 data" in done.stderr
    assert sorted(map(int, (tmp_path / "done.txt").read_text().split())) == [n for n in range(1, 21) if n % 7]


PACED = """
import time
from penstock import Penstock
app = Penstock("sqlite:///jobs.db")

@app.task(rate_limit="20/s", burst=1, limit_key=lambda number, _: number % 2)
def process(number: int, text: str) -> None:
    with open("started.txt", "a") as file:
        file.write(f"{number} {time.time()}\\n")
"""


def test_a_task_that_is_limited_gets_its_records_at_its_rate(tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text(PACED)
    records = [{"number": number, "text": ""} for number in range(20)] + [{"number": "none", "text": ""}]
    (tmp_path / "numbers.json").write_text(json.dumps(records))
    done = run(tmp_path, "numbers.json", "--to", "jobs:app.process", "--report", "report.jsonl")
    assert done.returncode == 0, done.stderr
    assert "limit_key= raises TypeError" in (tmp_path / "numbers.json.rejects.jsonl").read_text()
    started = [line.split() for line in (tmp_path / "started.txt").read_text().splitlines()]
    assert sorted(int(number) for number, _ in started) == list(range(20))
    for key in range(2):
        times = sorted(float(moment) for number, moment in started if int(number) % 2 == key)
        assert times[-1] - times[0] > 0.4


def processes_of(leader: int) -> list[int]:
    """A running load's main process and its children."""
    found = [leader]
    with suppress(OSError):
        for task in Path(f"/proc/{leader}/task").iterdir():
            found += [int(pid) for pid in (task / "children").read_text().split()]
    return found


def progress_of(folder: Path) -> int:
    """Records written so far; 0 while the table is not there."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(folder / "market.db", timeout=5)) as database:
        return int(database.execute("select count(*) from orders").fetchone()[0])
    return 0


@pytest.mark.parametrize("victim", ["main", "any"])
def test_killed_at_any_moment_every_record_goes_in_once(tmp_path: Path, victim: str) -> None:
    """SIGKILL at random moments; an unkilled run at the end finishes the load."""
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    chance = random.Random(seed)
    write_orders(tmp_path / "orders.jsonl", 120_000, broken=(77, 60_000))
    arguments = ("orders.jsonl", "--into", "sqlite:///market.db", "--create", "--quiet")
    pause = threading.Event()
    for _ in range(6):
        before = progress_of(tmp_path)
        with subprocess.Popen(command(*arguments), cwd=tmp_path, stderr=subprocess.DEVNULL) as loading:
            goal = before + chance.randrange(1, 30_000)
            for _ in range(400):
                if loading.poll() is not None or progress_of(tmp_path) >= goal:
                    break
                pause.wait(0.02)
            family = processes_of(loading.pid)
            with suppress(ProcessLookupError):
                os.kill(loading.pid if victim == "main" else chance.choice(family), signal.SIGKILL)
            if victim == "any":
                pause.wait(chance.random() * 0.3)
                with suppress(ProcessLookupError):
                    os.kill(loading.pid, signal.SIGINT)
            loading.wait(30)
        if not (tmp_path / "orders.jsonl.penstock.db").exists():
            break
    else:
        done = run(tmp_path, *arguments)
        assert done.returncode == 0, done.stderr.decode()
    found = [row[0] for row in rows(tmp_path / "market.db")]
    assert len(found) == len(set(found)) == 119_998
    rejects = [json.loads(line)["line"] for line in (tmp_path / "orders.jsonl.rejects.jsonl").read_text().splitlines()]
    assert rejects == [77, 60_000]


def killed(folder: Path, owner: str, name: str, *arguments: str) -> None:
    """Run a load whose program kills itself right after one of the steps by which it forgets the load."""
    program = f"""
import os, signal, sys
from penstock.brokers.sqlite.inspector import SqliteInspector
from penstock.cli.main import main
from penstock.sinks.sqlite.sink import SqliteSink

step = {owner}.{name}

def dying(*given):
    step(*given)
    if {owner} is not os or given[0].endswith("penstock.db"):
        os.kill(os.getpid(), signal.SIGKILL)

{owner}.{name} = dying
sys.argv[1:] = {["load", *arguments]!r}
main()
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert b'"complete":true' in done.stdout


def test_a_row_whose_writer_was_killed_before_it_was_told_is_known_when_it_comes_again(tmp_path: Path) -> None:
    target = tmp_path / "target.db"
    with closing(sqlite3.connect(target)) as database:
        database.execute("create table orders (order_id integer)")
    plan = Plan("orders.jsonl", f"sqlite:///{tmp_path}/queue.db", into=f"sqlite:///{target}", table="orders")
    row = pack([{"order_id": 1}, {"order_id": 2}], [1, 2])
    lease = Lease(new_ids(1)[0], 1, 1, WRITE, row, plan.lane, 5, 0, batch=new_ids(1)[0], items=2, packed=True)
    for claim in (1, 2):
        # Another process has it the second time.
        app = build(msgspec.json.encode(plan).decode())
        outcome = app.tasks[WRITE].sharing.writer.row(msgspec.structs.replace(lease, claim=claim), Policy(), None)
        assert (outcome.ending, outcome.steps[0].done) == (Ending.DONE, 2)
        app.close()
    assert rows(target) == [(1,), (2,)]


@pytest.mark.parametrize(
    ("owner", "name", "queue"),
    [
        ("SqliteSink", "forget", ()),
        ("SqliteSink", "forget", ("--queue", "sqlite:///kept.db")),
        ("SqliteInspector", "delete", ("--queue", "sqlite:///kept.db")),
        ("os", "unlink", ()),
    ],
)
def test_killed_after_its_summary_it_begins_nothing_anew(
    tmp_path: Path, owner: str, name: str, queue: tuple[str, ...]
) -> None:
    write_orders(tmp_path / "orders.jsonl", 3000, broken=(9,))
    arguments = ("orders.jsonl", "--into", "sqlite:///market.db", "--create", "--json", *queue)
    killed(tmp_path, owner, name, *arguments)
    if name != "unlink":
        told = summary(run(tmp_path, *arguments))
        assert (told["complete"], told["records"], told["rejects"]) == (True, 2999, 1)
    assert len(rows(tmp_path / "market.db")) == 2999
    rejects = [json.loads(line)["line"] for line in (tmp_path / "orders.jsonl.rejects.jsonl").read_text().splitlines()]
    assert rejects == [9]
    assert not (tmp_path / "orders.jsonl.penstock.db").exists()


def test_killed_as_it_reports_it_reports_again(tmp_path: Path) -> None:
    """Nothing is forgotten before the last word is said."""
    write_orders(tmp_path / "orders.jsonl", 3000, broken=(9,))
    os.mkfifo(tmp_path / "report")
    arguments = ("orders.jsonl", "--into", "sqlite:///market.db", "--create", "--json", "--report")
    with subprocess.Popen(command(*arguments, "report"), cwd=tmp_path, stdout=subprocess.PIPE) as loading:
        assert loading.stdout is not None
        assert json.loads(loading.stdout.readline())["records"] == 2999
        loading.kill()
    told = summary(run(tmp_path, *arguments, "report.jsonl"))
    assert (told["records"], told["rejects"], told["resumed_at"]) == (2999, 1, 3000)
    assert (tmp_path / "report.jsonl").exists()
    assert len(rows(tmp_path / "market.db")) == 2999
