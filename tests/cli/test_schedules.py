"""What runs by the clock, from the command line."""

import pytest

CLOCK = """
from penstock import Penstock, current_job

app = Penstock("sqlite:///jobs.db")


@app.schedule(every=0.2, args=("ada",), name="often")
@app.schedule("0 7 * * 1", tz="Europe/Paris", args=("bob", 7), name="mondays", catch_up="skip")
@app.task
def bill(customer: str, cents: int = 1) -> None:
    with open("billed", "a") as file:
        print(customer, cents, current_job().due is not None, file=file)
"""


@pytest.fixture(autouse=True)
def programs(folder):
    (folder / "clock.py").write_text(CLOCK)


def names(listed):
    return {one["name"]: one["status"] for one in listed.json}


def test_a_worker_keeps_what_code_declares_and_runs_it(penstock, start_worker, folder):
    worker = start_worker("clock:app", "-c", "1", "-v")
    for _ in range(3):
        worker.hear("done     clock.bill")
    listed = penstock("schedules", "clock:app", "--json")
    assert names(listed) == {"mondays": "declared", "often": "declared"}
    assert [(one["cron"], one["every"], one["tz"], one["catch_up"], one["known"]) for one in listed.json] == [
        ("0 7 * * 1", None, "Europe/Paris", "skip", True),
        (None, 0.2, "UTC", "once", True),
    ]
    assert listed.json[0]["next"].endswith("T05:00:00.000Z") or listed.json[0]["next"].endswith("T06:00:00.000Z")
    assert penstock("schedules", "pause", "clock:app", "often").out == "1 schedule paused\n"
    # The rest of what was made has run when this has.
    assert penstock("schedules", "run", "clock:app", "mondays").code == 0
    assert penstock("enqueue", "clock:app", "bill", '["eve"]', "--wait", "60").code == 0
    lines = (folder / "billed").read_text().splitlines()
    assert lines[:3] == ["ada 1 True"] * 3
    assert lines[-2:] == ["bob 7 False", "eve 1 False"]


def test_schedules_are_added_changed_and_removed(penstock, folder):
    penstock("enqueue", "clock:app", "bill", '["eve"]')
    assert names(penstock("schedules", "clock:app", "--json")) == {"mondays": "not yet", "often": "not yet"}
    added = penstock(
        "schedules", "add", "clock:app", "bill", '["sam"]', "--every", "30", "--name", "sam", "--kwargs", '{"cents": 3}'
    )
    assert added.out == "sam\n"
    assert (
        penstock("schedules", "add", "clock:app.bill", '["kim"]', "--cron", "@daily", "--name", "sam", "--replace").code
        == 0
    )
    (sam,) = [one for one in penstock("schedules", "list", "clock:app", "--json").json if one["name"] == "sam"]
    assert (sam["cron"], sam["every"], sam["status"], sam["paused"]) == ("@daily", None, "added at run time", False)
    (id,) = penstock("schedules", "run", "sqlite:///jobs.db", "sam").out.split()
    assert "customer='kim'" in penstock("show", "clock:app", id).out.replace('"', "'")
    assert penstock("schedules", "pause", "-w", "sqlite:///jobs.db", "sam").out == "1 schedule paused\n"
    shown = penstock("schedules", "shop:app").out
    assert "paused; added at run time; the app has no such task" in shown
    assert penstock("schedules", "resume", "clock:app", "sam").out == "1 schedule resumed\n"
    assert penstock("schedules", "remove", "clock:app", "sam").out == "1 schedule removed\n"
    assert penstock("schedules", "remove", "clock:app", "sam").code == 1


def test_what_code_does_not_declare_any_more_is_marked_and_removed_by_command(penstock, folder):
    assert penstock("worker", "clock:app", "--burst", "-c", "1").code == 0
    # Of another length: within a second, Python tells a changed module by its size.
    (folder / "clock.py").write_text(CLOCK.replace(', name="often"', ', name="another"'))
    assert names(penstock("schedules", "clock:app", "--json")) == {
        "mondays": "declared", "often": "not in the app", "another": "not yet",
    }  # fmt: skip
    assert penstock("schedules", "remove", "clock:app", "--undeclared").out == "1 schedule removed\n"
    assert penstock("schedules", "remove", "clock:app", "--undeclared").out == "no schedules removed\n"
    assert names(penstock("schedules", "sqlite:///jobs.db", "--json")) == {"mondays": "declared"}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["pause", "clock:app"], 2, "name a schedule"),
        (["remove", "sqlite:///jobs.db", "--undeclared"], 2, "--undeclared takes an app"),
        (["pase", "clock:app"], 2, "'pase' is no place"),
        (["add", "clock:app", "bill", '["x"]'], 1, "give it a cron expression or every="),
        (["add", "clock:app", "bill", '["x"]', "--every", "5", "--replace"], 1, "no schedule 'clock.bill'"),
    ],
)
def test_what_can_not_be_done(penstock, words, code, said):
    ended = penstock("schedules", *words)
    assert (ended.code, said in ended.err) == (code, True), ended.err
