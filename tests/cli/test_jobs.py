"""`penstock jobs` and `penstock show`."""

import re
import sqlite3
import subprocess
import sys
from datetime import datetime

import pytest


@pytest.fixture
def dead(penstock):
    job = penstock("enqueue", "shop:app", "invoice", '["bad"]').out.strip()
    penstock("worker", "shop:app", "--burst", "-c", "1")
    return job


def test_jobs_fit_every_filter_that_is_given(penstock, dead):
    ready = penstock("enqueue", "shop:app", "call", '["1"]').out.strip()
    other = penstock("enqueue", "shop:app", "call", '["1"]', "--queue", "other").out.strip()

    def found(*words):
        return [job["id"] for job in penstock("jobs", "shop:app", "--json", *words).json]

    assert found() == [dead, ready, other]
    assert found("--state", "dead") == [dead]
    assert found("--queue", "other") == [other]
    assert found("--task", "shop.call") == [ready, other]
    assert found("--task", "shop.call", "--queue", "default") == [ready]
    assert found("--state", "parked") == []


def test_a_limit_says_that_there_are_more(penstock):
    for _ in range(3):
        penstock("enqueue", "shop:app", "call", '["1"]')
    ended = penstock("jobs", "shop:app", "--limit", "2", "--json")
    assert len(ended.json) == 2
    assert "more than 2" in ended.err
    assert penstock("jobs", "shop:app", "--limit", "3").err == ""


def test_the_list_has_ids_states_and_reasons(penstock, dead):
    shown = penstock("jobs", "shop:app").out
    assert dead in shown
    assert "failed once: ValueError: no such customer: \\x1b[31mred" in shown
    assert "\x1b" not in shown
    assert penstock("jobs", "shop:app", "--state", "ready").out == "no such jobs\n"


@pytest.mark.parametrize("columns", ["60", "200"])
def test_ids_are_whole_on_any_terminal(on_terminal, dead, columns):
    shown = on_terminal("jobs", "shop:app", COLUMNS=columns).out
    assert dead in shown
    assert "customer" in shown


def test_show_has_the_arguments_and_the_traceback(penstock, dead):
    shown = penstock("show", "shop:app", dead).out
    assert 'customer="bad", cents=5' in shown
    assert "in invoice" in shown
    assert "\x1b" not in shown
    assert '"bad", 5' in penstock("show", "sqlite:///jobs.db", dead).out
    assert dead in penstock("show", dead, "-w", "shop:app").out
    assert dead in penstock("show", dead, PENSTOCK_URL="sqlite:///jobs.db").out


def test_show_as_json(penstock, dead):
    job = penstock("show", "shop:app", dead, "--json").json
    assert (job["id"], job["task"], job["state"], job["queue"]) == (dead, "shop.invoice", "dead", "default")
    assert (job["attempt"], job["crashes"], job["priority"]) == (1, 0, 5)
    assert job["arguments"] == ["bad", 5]
    assert job["parameters"] == ["customer", "cents"]
    assert job["failure"]["kind"] == "ValueError"
    assert "in invoice" in job["failure"]["traceback"]
    for name in ("created_at", "ended_at"):
        assert datetime.fromisoformat(job[name]).tzinfo is not None
    assert penstock("show", "sqlite:///jobs.db", dead, "--json").json["parameters"] is None


def test_a_delayed_job_says_when_it_runs(penstock):
    job = penstock("enqueue", "shop:app", "call", '["1"]', "--delay", "600", "--unique", "k").out.strip()
    shown = penstock("show", "shop:app", job).out
    assert "(in 10 min)" in shown
    assert "unique     k" in shown
    assert "runs in 10 min" in penstock("jobs", "shop:app").out


def test_a_limited_job_shows_its_gate(penstock, folder):
    job = penstock("enqueue", "shop:app", "call", '["1"]').out.strip()
    assert "gate" not in penstock("show", "shop:app", job).out
    assert penstock("show", "shop:app", job, "--json").json["gate"] is None
    with sqlite3.connect(folder / "jobs.db") as queue:
        queue.execute("update penstock_job set queue = ',default,shop.call,1'")
    queue.close()
    assert re.search(r"gate +shop\.call,1\n", penstock("show", "shop:app", job).out)
    assert penstock("show", "shop:app", job, "--json").json["gate"] == "shop.call,1"


def test_a_packed_row_shows_its_first_items(penstock, folder):
    code = "import shop; shop.each.map(range(40))"
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, timeout=60)
    first, second, *_ = penstock("jobs", "shop:app", "--json").json
    assert (first["packed"], first["items"]) == (True, 2)
    job = penstock("show", "shop:app", second["id"], "--json").json
    assert job["arguments"] == [[2], [3]]
    shown = penstock("show", "shop:app", second["id"]).out
    assert "2, from number 2" in shown
    assert "number=3" in shown


def test_a_payload_that_can_not_be_decoded_is_shown_as_such(penstock, folder):
    job = penstock("enqueue", "shop:app", "call", '["1"]').out.strip()
    for payload in (b"\xc1\xff", b"", b"\x91" * 5000, b"\x01", b"\x91\xa2\xff\xfe"):
        with sqlite3.connect(folder / "jobs.db") as queue:
            queue.execute("update penstock_job set payload = ?", (payload,))
        queue.close()
        assert penstock("show", "shop:app", job).code == 0
        seen = penstock("show", "shop:app", job, "--json").json
        assert seen["arguments"] is None
        assert seen["problem"]


def test_a_result_is_shown_while_it_is_kept(penstock):
    job = penstock("enqueue", "shop:app", "invoice", '["ada"]').out.strip()
    penstock("worker", "shop:app", "--burst", "-c", "1")
    assert penstock("show", "shop:app", job, "--json").json == {"id": job, "state": "done", "result": "ada owes 5"}
    assert 'result  "ada owes 5"' in penstock("show", "shop:app", job).out


def test_a_job_that_is_not_there(penstock, dead):
    ended = penstock("show", "shop:app", "0197b3a4-6c1e-7000-8000-000000000000")
    assert ended.code == 1
    assert "is not stored" in ended.err
    for words in (["shop:app"], ["shop:app", dead, dead], ["shop:app", "xyzzy"]):
        assert penstock("show", *words).code == 2
