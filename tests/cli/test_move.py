"""`penstock move`, as it is typed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from probing import until

from penstock import Penstock

Run = Callable[..., object]


def filled(folder: Path, jobs: int) -> Penstock:
    app = Penstock(f"sqlite:///{folder}/jobs.db")

    @app.task(name="shop.each", queue="mail")
    def each(number: int) -> None: ...

    each.delay_many([(number,) for number in range(jobs)])
    each.options(queue="other", delay=1000).delay(1)
    return app


def test_it_tells_what_it_moved(folder: Path, penstock: Run) -> None:
    filled(folder, 20).close()
    ended = penstock("move", "sqlite:///jobs.db", "sqlite:///new.db")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("moved  21 jobs\ntime")
    assert penstock("status", "sqlite:///new.db", "--json").json["queues"][0]["ready"] == 20


def test_json_and_named_queues(folder: Path, penstock: Run) -> None:
    filled(folder, 20).close()
    told = penstock("move", "sqlite:///jobs.db", "sqlite:///new.db", "--queues", "other, none", "--json").json
    assert {name: told[name] for name in ("complete", "moved", "known", "left", "running")} == {
        "complete": True, "moved": 1, "known": 0, "left": 0, "running": 0,
    }  # fmt: skip
    told = penstock("move", "shop:app", "sqlite:///new.db", "--json").json
    assert told["moved"] == 20


def test_what_is_wrong_is_told_in_one_line(folder: Path, penstock: Run) -> None:
    filled(folder, 1).close()
    for words, said in (
        (("sqlite:///none.db", "sqlite:///new.db"), "there is no queue in sqlite:///none.db"),
        (("sqlite:///jobs.db", "sqlite:///jobs.db"), "the same queue: name two"),
        (("sqlite:///jobs.db", "sqlite:///new.db", "-q", ","), "--queues names no queue"),
    ):
        ended = penstock("move", *words)
        assert ended.code != 0
        assert said in ended.err
        assert ended.err.count("\n") == 1
    assert not (folder / "none.db").exists()


def test_interrupted_while_it_waits_for_a_job_it_ends_with_130(
    folder: Path, penstock: Run, start_worker: Callable[..., object]
) -> None:
    os.mkfifo(folder / "go")
    penstock("enqueue", "shop:app", "hold")
    worker = start_worker("shop:app", "-c", "1")
    assert worker.printed() == "began"
    filled(folder, 3).close()
    words = [
        sys.executable,
        "-m",
        "penstock",
        "move",
        "sqlite:///jobs.db",
        "sqlite:///new.db",
        "--queues",
        "default",
        "--json",
    ]
    mover = subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until((folder / "new.db").exists, "it moves")
    once = penstock("move", "sqlite:///jobs.db", "sqlite:///new.db", "-q", "default", "--once", "--json")
    mover.send_signal(signal.SIGINT)
    out, err = mover.communicate(timeout=60)
    assert (once.code, once.json["running"]) == (0, 1)
    assert mover.returncode == 130, err
    assert out == "" or json.loads(out)["running"] == 1
    (folder / "go").write_text("")
    worker.signal(signal.SIGTERM)
    assert worker.end() == 0
