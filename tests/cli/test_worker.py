"""`penstock worker`."""

import os
import signal

import pytest

from penstock.cli.lanes import POOLS
from penstock.settings import SETTINGS
from penstock.worker.supervisor import DEFAULT_GRACE


def test_a_burst_runs_what_is_there_and_ends(penstock):
    jobs = [penstock("enqueue", "shop:app", "invoice", f'["ada{n}"]').out.strip() for n in range(3)]
    ended = penstock("worker", "shop:app", "--burst", "-c", "2", "-v")
    assert ended.code == 0
    assert ended.err.count("done ") == 3
    assert [penstock("show", "shop:app", job, "--json").json["result"] for job in jobs] == [
        f"ada{n} owes 5" for n in range(3)
    ]


@pytest.mark.parametrize("pool", POOLS)
def test_all_pools_take_from_the_queues_that_are_named(penstock, pool):
    penstock("enqueue", "shop:app", "invoice", '["ada"]')
    penstock("enqueue", "shop:app", "invoice", '["bob"]', "--queue", "other")
    ended = penstock("worker", "shop:app", "--burst", "--pool", pool, "-c", "1", "-q", "other, more")
    assert f"takes other, more from sqlite:///jobs.db: {pool}" in ended.err
    assert [job["queue"] for job in penstock("jobs", "shop:app", "--json").json] == ["default"]


def test_options_come_from_the_environment_too(penstock):
    penstock("enqueue", "shop:app", "invoice", '["ada"]')
    settings = {"POOL": "threads", "CONCURRENCY": "3", "QUEUES": "default,two words", "BURST": "1"}
    ended = penstock("worker", "shop:app", **{f"PENSTOCK_WORKER_{name}": value for name, value in settings.items()})
    assert "takes default, two words from sqlite:///jobs.db: threads, 1 processes of 3 slots" in ended.err


def test_a_first_signal_lets_the_running_job_finish(penstock, folder, start_worker):
    os.mkfifo(folder / "go")
    penstock("enqueue", "shop:app", "hold", "[]")
    waiting = penstock("enqueue", "shop:app", "invoice", '["ada"]', "--priority", "0").out.strip()
    worker = start_worker("shop:app", "-c", "1", "--grace", "60")
    assert worker.printed() == "began"
    worker.signal(signal.SIGTERM)
    worker.hear("stopping: got SIGTERM")
    (folder / "go").write_text("on")
    assert worker.end() == 0
    assert (folder / "ended").exists()
    # The word to stop may reach the process just after its job has ended, and the next one has begun.
    left = penstock("jobs", "shop:app", "--json").json
    assert [(job["id"], job["state"]) for job in left] in ([(waiting, "ready")], [])


def test_a_second_signal_gives_the_running_job_back_unharmed(penstock, folder, start_worker):
    os.mkfifo(folder / "go")
    job = penstock("enqueue", "shop:app", "hold", "[]").out.strip()
    worker = start_worker("shop:app", "-c", "1", "--grace", "600")
    assert worker.printed() == "began"
    worker.signal(signal.SIGTERM)
    worker.hear("stopping: got SIGTERM")
    worker.signal(signal.SIGINT)
    assert worker.end() == 0
    left = penstock("show", "shop:app", job, "--json").json
    assert (left["state"], left["attempt"], left["crashes"]) == ("ready", 0, 0)
    assert penstock("status", "shop:app", "--json").json["workers"] == []


@pytest.mark.parametrize(
    ("target", "said", "code"),
    [
        ("nowhere:app", "no module 'nowhere' here", 1),
        ("shop.more:app", "no module 'shop.more' here", 1),
        ("shop:nope", "shop has no 'nope'", 1),
        ("sqlite:///jobs.db", "has no tasks to run", 2),
    ],
)
def test_what_can_not_be_loaded_is_said_without_a_traceback(penstock, target, said, code):
    ended = penstock("worker", target, "-c", "1")
    assert ended.code == code
    lines = [line for line in ended.err.splitlines() if line.startswith("penstock: ")]
    assert len(lines) == 1
    assert said in lines[0]
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    "words",
    [["-c", "0"], ["--memory", "1G"], ["--memory", "much"], ["-q", "a,,b"], ["--grace", "-1"], ["--pool", "fibers"]],
)
def test_settings_that_make_no_sense(penstock, words):
    ended = penstock("worker", "shop:app", *words)
    assert ended.code == 2
    assert words[0] in ended.err


def test_the_grace_is_that_of_the_worker():
    assert SETTINGS["worker.grace"].default == DEFAULT_GRACE


def test_lanes_take_each_their_own_queues(penstock, folder):
    (folder / "penstock.toml").write_text(
        'app = "shop:app"\n[worker]\nburst = true\n[worker.lanes]\nmail = "threads:2"\n"*" = "prefork:1"'
    )
    lines = '[{"sku": "a", "price": "2"}]'
    sent = penstock("enqueue", "shop:app", "send", f'["2026-01-01T00:00:00", {lines}]').out.strip()
    billed = penstock("enqueue", "shop:app", "invoice", '["ada"]').out.strip()
    ended = penstock("worker")
    assert ended.code == 0
    assert "takes default, mail from sqlite:///jobs.db: all others: prefork, 1 processes" in ended.err
    assert "; mail: threads, 1 processes of 2 slots" in ended.err
    assert penstock("show", "shop:app", sent, "--json").json["result"] == "2026 2 b''"
    assert penstock("show", "shop:app", billed, "--json").json["result"] == "ada owes 5"


def test_where_a_wrong_value_came_from(penstock, folder):
    assert "penstock: PENSTOCK_WORKER_GRACE: nan is no number" in penstock("worker", PENSTOCK_WORKER_GRACE="nan").err
    (folder / "penstock.toml").write_text("[worker]\ngrace = -1")
    assert "the file's setting worker.grace: -1" in penstock("worker", "shop:app").err
    (folder / "penstock.toml").write_text("[worker]\ngrase = 1")
    assert "no setting 'grase': did you mean 'grace'?" in penstock("worker", "shop:app").err


def test_without_an_app(penstock):
    assert "name an app" in penstock("worker").err


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import nothere", "ModuleNotFoundError: No module named 'nothere' (broken.py, line 1)"),
        ("def f(:\n  pass", "SyntaxError"),
        ("raise SystemExit('no')", "SystemExit: no"),
    ],
)
def test_an_app_that_can_not_be_imported_is_told_once(penstock, folder, source, said):
    (folder / "broken.py").write_text(source)
    ended = penstock("worker", "broken:app", "-c", "4")
    assert ended.code == 1
    assert ended.err.count("penstock: broken can't be imported: ") == 1
    assert said in ended.err
    assert "Traceback" not in ended.err
