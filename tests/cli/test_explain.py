"""`penstock explain`."""

import json


def kinds(penstock, job):
    said = penstock("explain", "shop:app", job, "--json").json
    return said["state"], [reason["kind"] for reason in said["reasons"]]


def test_why_a_job_does_not_run(penstock):
    first = penstock("enqueue", "shop:app", "invoice", '["bad"]').out.strip()
    second = penstock("enqueue", "shop:app", "invoice", '["ada"]').out.strip()
    later = penstock("enqueue", "shop:app", "invoice", '["ada"]', "--delay", "600").out.strip()
    assert kinds(penstock, first) == ("ready", ["no_worker"])
    assert kinds(penstock, second) == ("ready", ["no_worker", "ahead"])
    assert kinds(penstock, later) == ("delayed", ["delayed"])
    shown = penstock("explain", "shop:app", second)
    assert shown.out.splitlines() == [
        f"{second}  ready",
        "  no live worker takes from queue default: start one that does",
        "  1 job is before it in queue default",
    ]
    penstock("worker", "shop:app", "--burst", "-c", "1")
    assert kinds(penstock, first) == ("dead", ["dead"])
    assert kinds(penstock, second) == ("done", ["done"])
    unknown = penstock("explain", "shop:app", "0197b3a4-6c1e-7000-8000-000000000000", "--json")
    assert json.loads(unknown.out)["state"] is None
    assert penstock("explain", "shop:app").code == 2
