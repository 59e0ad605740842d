"""`penstock status`."""

import signal
from datetime import datetime

from penstock.brokers.inspect import QueueCounts
from penstock.cli.status import _show_queues

OTHER = """
from penstock import Penstock

app = Penstock("sqlite:///jobs.db")


@app.task
def unheard() -> None: ...
"""


def test_queues_without_a_worker_are_marked(penstock):
    penstock("enqueue", "shop:app", "invoice", '["ada"]')
    penstock("enqueue", "shop:app", "invoice", '["ada"]', "--delay", "1000", "--queue", "later")
    status = penstock("status", "shop:app", "--json").json
    assert status["url"] == "sqlite:///jobs.db"
    assert status["workers"] == []
    base = {
        "ready": 0,
        "running": 0,
        "delayed": 0,
        "parked": 0,
        "waiting": 0,
        "dead": 0,
        "about": [],
        "workers": 0,
        "stranded": True,
    }
    assert status["queues"] == [base | {"queue": "default", "ready": 1}, base | {"queue": "later", "delayed": 1}]
    shown = penstock("status", "shop:app").out
    assert "none!" in shown
    assert "no live worker takes from default, later: penstock worker shop:app" in shown


def test_a_worker_and_what_it_takes_from(penstock, start_worker):
    penstock("enqueue", "shop:app", "invoice", '["ada"]', "--delay", "1000")
    penstock("enqueue", "shop:app", "invoice", '["ada"]', "--queue", "other")
    worker = start_worker("shop:app", "-c", "1", "-q", "default")
    worker.hear("takes default")
    status = penstock("status", "sqlite:///jobs.db", "--json").json
    assert [(queue["queue"], queue["workers"], queue["stranded"]) for queue in status["queues"]] == [
        ("default", 1, False),
        ("other", 0, True),
    ]
    (seen,) = status["workers"]
    assert seen["alive"]
    assert (seen["pool"], seen["slots"], seen["running"], seen["queues"]) == ("prefork", 1, 0, ["default"])
    assert seen["silent_for"] < 6
    assert datetime.fromisoformat(seen["started_at"]).tzinfo is not None
    shown = penstock("status", "shop:app").out
    assert seen["id"][:8] in shown
    assert f"{seen['host']}:{seen['pid']}" in shown
    worker.signal(signal.SIGTERM)
    assert worker.end() == 0


def test_a_dead_letter_and_a_parked_job_are_pointed_out(penstock, folder):
    (folder / "other.py").write_text(OTHER)
    penstock("enqueue", "other:app", "unheard", "[]")
    penstock("enqueue", "shop:app", "invoice", '["bad"]')
    penstock("worker", "shop:app", "--burst", "-c", "1")
    shown = penstock("status", "shop:app").out
    assert "1 parked, whose task no worker so far has known: penstock jobs shop:app --state parked" in shown
    assert "1 dead, which failed for good: penstock jobs shop:app --state dead" in shown
    (parked,) = penstock("jobs", "shop:app", "--state", "parked", "--json").json
    assert (parked["task"], parked["state"]) == ("other.unheard", "parked")
    assert "parked" in penstock("show", "shop:app", parked["id"]).out


def test_an_empty_queue(penstock):
    penstock("enqueue", "shop:app", "invoice", '["ada"]')
    penstock("worker", "shop:app", "--burst", "-c", "1")
    assert penstock("status", "shop:app").out == "sqlite:///jobs.db\n\nno jobs\n\nno workers\n"


def test_a_terminal_gets_colours(penstock, on_terminal):
    penstock("enqueue", "shop:app", "invoice", '["ada"]')
    shown = on_terminal("status", "shop:app")
    assert shown.code == 0
    assert "\x1b[1;31m" in shown.out
    assert "\x1b[3" not in on_terminal("status", "shop:app", NO_COLOR="1").out


def test_lanes_are_shown_with_their_sizes_and_bounds(penstock, start_worker):
    worker = start_worker("shop:app", "--lane", "mail=threads:2x5", "--lane", "*=prefork:3,1")
    worker.hear("takes default, mail")
    (seen,) = penstock("status", "shop:app", "--json").json["workers"]
    assert [(lane["queues"], lane["pool"], lane["least"], lane["most"], lane["why"]) for lane in seen["lanes"]] == [
        (["default"], "prefork", 1, 3, "as it started"),
        (["mail"], "threads", None, None, ""),
    ]
    shown = [line.split() for line in penstock("status", "shop:app").out.splitlines()]
    assert [seen["id"][:8], "default", "prefork", "1", "1-3", "0", "as", "it", "started"] in shown
    assert [seen["id"][:8], "mail", "threads", "2x5", "0"] in shown
    worker.signal(signal.SIGTERM)
    assert worker.end() == 0


def test_one_lane_that_stays_as_it_is_is_not_worth_a_table(penstock, start_worker):
    worker = start_worker("shop:app", "-c", "1")
    worker.hear("takes default")
    assert "least-most" not in penstock("status", "shop:app").out


def test_json_has_what_the_workers_counted(penstock):
    for arguments in ('["ada"]', '["bob"]', '["bad"]'):
        penstock("enqueue", "shop:app", "invoice", arguments)
    assert penstock("status", "shop:app", "--json").json["metrics"]["tasks"] == []
    penstock("worker", "shop:app", "--burst", "-c", "1")
    metrics = penstock("status", "shop:app", "--json").json["metrics"]
    assert (metrics["seconds"], metrics["step"], metrics["done"], metrics["dead"]) == (300.0, 10, 2, 1)
    (task,) = metrics["tasks"]
    assert (task["task"], task["queue"], task["seconds"]["count"]) == ("shop.invoice", "default", 3)
    assert [queue["queue"] for queue in metrics["queues"]] == ["default", "mail"]
    assert metrics["workers"][0]["memory"] > 10 << 20
    minutes = penstock("status", "shop:app", "--json", "--last", "86400").json["metrics"]
    assert (minutes["step"], minutes["done"]) == (1440, 2)


def test_an_estimate_is_shown_as_one(capsys):
    _show_queues([QueueCounts("deep", ready=9_987_654, dead=3, about=("ready",))], [])
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "deep" in line]
    assert line.split()[:5] == ["deep", "~9,990,000", "0", "0", "0"]


def test_every_job_is_counted_where_that_is_asked_for(penstock):
    penstock("enqueue", "shop:app", "invoice", '["ada"]')
    (queue,) = penstock("status", "shop:app", "--exact", "--json").json["queues"]
    assert (queue["ready"], queue["about"]) == (1, [])
    assert "leave one of them out" in penstock("status", "shop:app", "--exact", "--watch").err
