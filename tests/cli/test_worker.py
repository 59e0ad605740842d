"""`penstock worker`."""

import os
import signal
import sys
from pathlib import Path

import pytest
from probing import until

from penstock.cli.lanes import POOLS
from penstock.settings import SETTINGS
from penstock.testing.servers.process import free_port
from penstock.worker.supervisor import DEFAULT_GRACE
from penstock.worker.tree import descendants


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


ORPHAN = """
import os, time
from pathlib import Path
from penstock import Penstock

app = Penstock("sqlite:///jobs.db")

@app.task(timeout=0.1, retries=0)
def leave_a_fork() -> None:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            Path("orphan.new").write_text(str(os.getpid()))
            os.rename("orphan.new", "orphan")
            time.sleep(100)
        os._exit(0)
    os.wait()
    while True:
        try:
            time.sleep(100)
        except BaseException:
            pass
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere they are fresh interpreters")
@pytest.mark.parametrize("probed", [False, True])
def test_the_first_processes_are_forks_that_have_nothing_of_each_other(penstock, start_worker, probed):
    worker = start_worker("shop:app", "-c", "3", *(["--probe", str(free_port())] if probed else []))
    worker.hear("takes")
    first = descendants(worker.pid)
    assert [cmdline(pid) for pid in first] == [cmdline(worker.pid)] * 3
    until(lambda: [len(boards(pid)) for pid in first] == [1, 1, 1], "all have booted")
    assert len(set().union(*map(boards, first))) == 3
    # Where one is replaced the supervisor has threads, and a fork of it would have what they hold.
    os.kill(first[0], signal.SIGKILL)
    until(lambda: len({*descendants(worker.pid)} - {*first}) == 1, "another has started")
    (other,) = set(descendants(worker.pid)) - set(first)
    until(lambda: b"penstock.cli.process" in cmdline(other), "it is a fresh interpreter")
    jobs = [penstock("enqueue", "shop:app", "invoice", '["ada"]').out.strip() for _ in range(6)]
    assert penstock("wait", "shop:app", *jobs).code == 0


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only its group is ended with a process")
def test_what_a_forked_process_has_forked_ends_with_it_also_without_parents(penstock, folder, start_worker):
    (folder / "orphans.py").write_text(ORPHAN)
    start_worker("orphans:app", "-c", "1")
    job = penstock("enqueue", "orphans:app", "leave_a_fork", "[]").out.strip()
    assert penstock("wait", "orphans:app", job).code == 1
    orphan = int((folder / "orphan").read_text())
    until(lambda: not Path(f"/proc/{orphan}/maps").exists() or not boards(orphan), "it is gone")


def boards(pid):
    """The memory that a process has in common with a supervisor."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return {line.partition("/memfd:")[2] for line in lines if "penstock-board" in line}


def cmdline(pid):
    return Path(f"/proc/{pid}/cmdline").read_bytes()
