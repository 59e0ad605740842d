"""`penstock chaos`."""

import json
import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]


def until(condition: Callable[[], bool], what: str) -> None:
    pause = threading.Event()
    for _ in range(3000):
        if condition():
            return
        pause.wait(0.02)
    pytest.fail(f"not within a minute: {what}")


def test_a_short_trial_for_programs(penstock):
    done = penstock(
        "chaos", "sqlite:///trial.db", "--jobs", "300", "--seconds", "1", "--every", "20", "--seed", "7", "--json"
    )
    assert done.code == 0, done.err
    assert done.err == ""
    told = json.loads(done.out)
    assert told["passed"] is True
    assert (told["jobs"], told["lost"], told["unexplained"], told["seed"]) == (300, [], [], 7)
    assert [harm["times"] for harm in told["harms"]] == [1]
    assert set(told["harms"][0]) == {"kind", "times", "in_hand", "back_p50", "back_max"}
    # Nothing stays of it.
    assert json.loads(penstock("status", "sqlite:///trial.db", "--json").out)["queues"] == []


def test_a_short_trial_for_people(penstock):
    done = penstock("chaos", "sqlite:///trial.db", "--jobs", "100", "--seconds", "1", "--every", "20")
    assert done.code == 0, done.err
    assert "sqlite:///trial.db: 100 jobs, 2 workers of 2 processes" in done.out
    assert "DONE AFTER p50" in done.out
    lines = dict(line.split(None, 1) for line in done.out.splitlines() if line.startswith("lost"))
    assert lines == {"lost": "none"}


def test_no_worker_outlives_it(folder):
    command = [sys.executable, "-m", "penstock", "chaos", "sqlite:///trial.db", "--seconds", "60", "--jobs", "600"]
    trial = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL)
    until(lambda: len(children(trial.pid)) == 2, "its workers are there")
    workers = [os.pidfd_open(pid) for pid in children(trial.pid)]
    trial.kill()
    trial.wait()
    for worker in workers:
        assert select.select([worker], [], [], 60)[0]
        os.close(worker)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sqlite:///trial.db", "--cut"], "can't be cut: that takes the URL of one server"),
        (["sqlite:///none/trial.db"], "none"),
        (["shop:app", "--jobs", "0"], "--jobs"),
    ],
)
def test_what_can_not_be_tried_is_said_in_one_line(penstock, words, said):
    done = penstock("chaos", *words)
    assert done.code in {1, 2}
    assert said in done.err
    assert "Traceback" not in done.err
