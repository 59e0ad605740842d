"""How far jobs say they are, in `penstock show` and `penstock status`."""

import json
import subprocess
import sys

import pytest

APP = """
import time
from pathlib import Path
from penstock import Penstock, current_job

app = Penstock("sqlite:///jobs.db")


@app.task
def slow() -> None:
    current_job().progress(3, 4, "almost there")
    while not Path("go").exists():
        time.sleep(0.01)
"""


@pytest.fixture
def job(penstock, folder):
    (folder / "slow.py").write_text(APP)
    job = penstock("enqueue", "slow:app", "slow").out.strip()
    worker = subprocess.Popen(
        [sys.executable, "-m", "penstock", "worker", "slow:app", "-c", "1"], cwd=folder, stderr=subprocess.DEVNULL
    )
    yield job
    (folder / "go").touch()
    worker.terminate()
    worker.wait(30)


def test_it_is_shown(penstock, job):
    for _ in range(200):
        if penstock("show", "slow:app", job, "--json").json.get("progress"):
            break
    shown = penstock("show", "slow:app", job)
    assert "75%, 3 of 4: almost there" in shown.out
    said = json.loads(penstock("show", "slow:app", job, "--json").out)["progress"]
    assert (said["done"], said["total"], said["note"]) == (3, 4, "almost there")
    for _ in range(200):
        jobs = penstock("status", "slow:app", "--json").json["jobs"]
        if jobs:
            break
    assert [one["id"] for one in jobs] == [job]
    assert jobs[0]["progress"]["note"] == "almost there"
    assert "75%, 3 of 4: almost there" in penstock("status", "slow:app").out
