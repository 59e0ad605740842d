"""Workflows at the command line."""

import pytest

FLOWS = """
from penstock import Failure, GiveUp, Penstock, chord
from pathlib import Path

app = Penstock("sqlite:///jobs.db")


@app.task
def count(x: int) -> int:
    if x == 2 and Path("broken").exists():
        raise GiveUp("two is broken")
    return x


@app.task
def add(xs: list[int]) -> int:
    return sum(xs)


@app.task
def say(x: int) -> str:
    return f"{x} in all"


@app.task
def sorry(failure: Failure) -> None:
    pass


if __name__ == "__main__":
    flow = (chord([count.s(x) for x in range(4)], add.s()) | say.s()).on_error(sorry.s())
    print(flow.workflow("words").delay().id)
"""


@pytest.fixture
def flow(folder, penstock):
    import subprocess
    import sys

    (folder / "flows.py").write_text(FLOWS)
    (folder / "broken").touch()
    ran = subprocess.run([sys.executable, "flows.py"], cwd=folder, capture_output=True, text=True, check=True)
    return ran.stdout.strip()


def test_a_workflow_from_its_start_to_its_end(penstock, folder, flow):
    drawn = penstock("show", "flows:app", flow)
    assert "0 of 7 done" in drawn.out
    assert "flows.count" in drawn.out
    assert penstock("status", "flows:app", "--json").json["queues"][0]["waiting"] == 3
    assert "waiting" in penstock("status", "flows:app").out
    penstock("worker", "flows:app", "--burst", "-c", "1")
    found = penstock("show", "flows:app", flow, "--json").json
    assert [stage["state"] for stage in found["stages"]] == ["failed", "cancelled", "cancelled", "done"]
    assert (found["workflow"], found["state"], found["done"], found["failed"]) == ("words", "dead", 4, 3)
    assert found["stages"][1]["reason"] == "flows.count failed: GiveUp: two is broken"
    text = penstock("show", "flows:app", flow).out
    assert "3/4" in text
    assert "two is broken" in text
    assert "where one fails of 1, 2, 3" in text
    (folder / "broken").unlink()
    assert penstock("retry", "flows:app", flow).out == "retried 3 jobs\n"
    penstock("worker", "flows:app", "--burst", "-c", "1")
    found = penstock("show", "flows:app", flow, "--json").json
    assert (found["state"], found["done"]) == ("done", 7)
    last = found["stages"][2]["first_job"]
    assert penstock("show", "flows:app", last, "--json").json["result"] == "6 in all"


def test_a_diagram(penstock, flow):
    lines = penstock("show", "flows:app", flow, "--mermaid").out.splitlines()
    assert lines[:2] == ["graph TD", '    s1["flows.count × 4"]:::running']
    assert "    s1 --> s2" in lines
    assert "    s1 -. failed .-> s4" in lines


def test_a_workflow_is_cancelled(penstock, flow):
    assert penstock("cancel", "flows:app", flow).out == "cancelled 7 jobs\n"
    assert penstock("show", "flows:app", flow, "--json").json["state"] == "dead"


def test_what_is_no_workflow(penstock, flow):
    ended = penstock("show", "flows:app", "0197b3a4-6c1e-7000-8000-000000000000", "--mermaid")
    assert (ended.code, ended.out) == (1, "")
    assert "no workflow" in ended.err


def test_arguments_that_are_still_to_come(penstock, flow):
    found = penstock("show", "flows:app", flow, "--json").json
    waiting = penstock("show", "flows:app", found["stages"][1]["first_job"], "--json").json
    assert (waiting["state"], waiting["arguments"]) == ("waiting", ["<result>"])


def test_waiting_for_a_workflow(penstock, folder, flow):
    late = penstock("wait", "flows:app", flow, "--timeout", "0.05")
    assert (late.code, late.out) == (1, "")
    assert "the workflow did not end within 0.05 s" in late.err
    penstock("worker", "flows:app", "--burst", "-c", "1")
    ended = penstock("wait", "flows:app", flow)
    assert (ended.code, ended.out) == (1, f"{flow}  dead\n")
    (folder / "broken").unlink()
    penstock("retry", "flows:app", flow)
    penstock("worker", "flows:app", "--burst", "-c", "1")
    ended = penstock("wait", "flows:app", flow, "--json")
    assert (ended.code, ended.json) == (0, [{"id": flow, "state": "done"}])
    nothing = penstock("retry", "flows:app", flow)
    assert (nothing.code, nothing.err) == (1, f"penstock: nothing to retry: {flow} is a workflow that is done\n")


def test_explaining_a_workflow_says_what_draws_it(penstock, flow):
    said = penstock("explain", "flows:app", flow, "--json").json
    assert (said["state"], said["reasons"][0]["kind"]) == ("running", "is_workflow")
