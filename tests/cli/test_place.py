"""WHERE: an app, a URL, or neither; and what is wrong with it in one line."""

import sqlite3

import pytest

from penstock.cli.place import Place


@pytest.fixture
def job(penstock):
    return penstock("enqueue", "shop:app", "invoice", '["ada"]').out.strip()


def test_an_app_a_url_and_the_environment_lead_to_the_same_queue(penstock, job):
    found = [
        penstock("jobs", "shop:app", "--json"),
        penstock("jobs", "sqlite:///jobs.db", "--json"),
        penstock("jobs", "-w", "sqlite:///jobs.db", "--json"),
        penstock("jobs", "--json", "--where", "shop:app"),
        penstock("jobs", "--json", PENSTOCK_URL="sqlite:///jobs.db"),
    ]
    assert [[each["id"] for each in ended.json] for ended in found] == [[job]] * 5


@pytest.mark.parametrize("command", ["status", "jobs", "retry --yes", "purge --yes", "cancel --yes"])
def test_a_missing_file_is_not_made(penstock, folder, command):
    ended = penstock(*command.split())
    assert ended.code == 1
    assert ended.err.startswith("penstock: there is no queue in sqlite:///penstock.db yet")
    assert ended.err.count("\n") == 1
    assert list(folder.glob("*.db*")) == []


def test_a_database_without_a_queue_is_left_as_it_is(penstock, folder):
    with sqlite3.connect(folder / "market.db") as market:
        market.execute("create table orders (id)")
    market.close()
    before = (folder / "market.db").read_bytes()
    ended = penstock("status", "sqlite:///market.db")
    assert (ended.code, ended.err.split(":")[0]) == (1, "penstock")
    assert "there is no queue in sqlite:///market.db yet" in ended.err
    assert (folder / "market.db").read_bytes() == before


@pytest.mark.parametrize(
    ("where", "said", "code"),
    [
        ("jobs.db", "no place", 2),
        ("nowhere:app", "no module 'nowhere'", 1),
        ("shop:nope", "shop has no 'nope'", 1),
        ("shop:Line", "not a Penstock app", 1),
        ("gopher://x", "no broker for 'gopher'", 1),
        ("sqlite://x", "sqlite:///relative.db", 1),
        ("sqlite:///shop.py", "no SQLite database", 1),
        ("sqlite:///jobs.db?colour=red", "not colour", 1),
        (":", "is no app", 1),
        ("://", "", 1),
        ("..:app", "is no app", 1),
        ("sqlite:///\x1b[31m", "", 1),
    ],
)
def test_garbage_is_one_line(penstock, job, where, said, code):
    ended = penstock("status", where)
    assert ended.code == code
    assert ended.err.startswith("penstock: ")
    assert ended.err.count("\n") == 1
    assert said in ended.err
    assert "Traceback" not in ended.err
    assert "\x1b" not in ended.err


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import nothere", "ModuleNotFoundError: No module named 'nothere' (broken.py, line 1)"),
        ("x = (", "SyntaxError"),
        ("\n1 / 0", "ZeroDivisionError: division by zero (broken.py, line 2)"),
        ("raise SystemExit(0)", "SystemExit: 0 (broken.py, line 1)"),
    ],
)
def test_a_module_that_fails_is_one_line_with_its_place(penstock, folder, source, said):
    (folder / "broken.py").write_text(source)
    ended = penstock("status", "broken:app")
    assert ended.code == 1
    assert ended.err.startswith("penstock: broken can't be imported: ")
    assert said in ended.err
    assert ended.err.count("\n") == 1


def test_two_places_are_one_too_many(penstock, job):
    assert penstock("jobs", "shop:app", "-w", "sqlite:///jobs.db").code == 2
    assert penstock("jobs", "shop:app", "shop:app").code == 2


def test_a_password_is_not_shown():
    assert Place("postgresql://ada:secret@host:5432/db").shown == "postgresql://ada:***@host:5432/db"
    assert Place("sqlite:///jobs.db").shown == "sqlite:///jobs.db"


def test_without_where_a_file_says_which_queue(penstock, folder):
    penstock("enqueue", "shop:app", "invoice", '["ada"]')
    (folder / "penstock.toml").write_text('url = "sqlite:///jobs.db"')
    assert penstock("status", "--json").json["url"] == "sqlite:///jobs.db"
    (folder / "penstock.toml").write_text('ulr = "sqlite:///jobs.db"')
    assert "did you mean 'url'?" in penstock("status").err
