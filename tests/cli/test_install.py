"""`penstock install`, `upgrade`, `sql` and `doctor`."""

import os
import sqlite3
from contextlib import closing

import pytest

from penstock.brokers import connect

URL = "sqlite:///jobs.db"
NOW = connect(URL).schema().known


def grades(penstock, *words):
    ended = penstock("doctor", *words, "--json")
    import json

    return ended.code, {check["name"]: check["grade"] for check in json.loads(ended.out)}


def test_install_makes_a_queue_and_upgrade_finds_it_current(penstock, folder):
    assert penstock("install", URL).out == f"{URL} is ready (schema {NOW})\n"
    assert penstock("install", "shop:app", "--json").json == {"url": URL, "before": NOW, "after": NOW}
    assert penstock("upgrade", URL).out == f"{URL} is up to date (schema {NOW})\n"
    assert (folder / "jobs.db").exists()


def test_upgrade_makes_no_queue(penstock, folder):
    ended = penstock("upgrade", "sqlite:///mistyped.db")
    assert (ended.code, ended.err) == (
        1, "penstock: there is no queue in sqlite:///mistyped.db: penstock install makes one\n",
    )  # fmt: skip
    assert not (folder / "mistyped.db").exists()


def test_sql_prints_what_install_runs(penstock, folder):
    script = penstock("sql", URL).out
    assert not (folder / "jobs.db").exists()
    with closing(sqlite3.connect(folder / "jobs.db")) as connection:
        connection.executescript(script)
    assert penstock("install", URL, "--json").json == {"url": URL, "before": NOW, "after": NOW}
    assert penstock("enqueue", "shop:app", "call", '["1"]').code == 0


def test_a_doctor_finds_nothing_wrong(penstock):
    penstock("install", URL)
    code, found = grades(penstock, URL)
    assert code == 0
    assert set(found.values()) == {"ok"}
    assert {
        "SQLite",
        "file system",
        "free space",
        "tables",
        "rights",
        "journal",
        "health",
        "shipments",
        "durability",
        "signing",
    } == set(found)
    assert "every page is sound" in penstock("doctor", "shop:app").out


def test_a_doctor_makes_nothing(penstock, folder):
    code, found = grades(penstock, URL)
    assert (code, found["tables"]) == (1, "fail")
    assert not (folder / "jobs.db").exists()


def put(path, change):
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(change)


@pytest.mark.parametrize(
    ("harm", "name", "grade", "says"),
    [
        (lambda path: os.chmod(path, 0o644), "rights", "warn", "chmod 600"),
        (lambda path: put(path, "update penstock_meta set value = 99 where name = 'schema'"), "tables", "fail", "upgrade it"),
        (lambda path: put(path, "pragma journal_mode = delete"), "journal", "fail", "write-ahead log"),
    ],
)  # fmt: skip
def test_a_doctor_says_what_to_do(penstock, folder, harm, name, grade, says):
    penstock("install", URL)
    harm(folder / "jobs.db")
    code, found = grades(penstock, URL)
    assert (code, found[name]) == (int(grade == "fail"), grade)
    (line,) = [line for line in penstock("doctor", URL).out.splitlines() if f" {name} " in line]
    assert says in line


def test_a_dial_that_is_turned_down_is_a_warning(penstock):
    penstock("install", URL)
    assert grades(penstock, f"{URL}?durability=off") == (0, {**grades(penstock, URL)[1], "durability": "warn"})


def test_a_file_that_is_no_database(penstock, folder):
    (folder / "jobs.db").write_text("not a database, but long enough to be taken for one" * 100)
    ended = penstock("doctor", URL)
    assert ended.code == 1
    assert "FAIL" in ended.out
    assert "no SQLite database" in ended.out
