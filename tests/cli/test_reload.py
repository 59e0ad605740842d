"""`penstock worker --reload`."""

import signal
from pathlib import Path

import pytest

from penstock.cli.reload import Sources, find_error

APP = """
from penstock import Penstock

app = Penstock("sqlite:///jobs.db")


@app.task
def say() -> None:
    print("{word}", flush=True)
"""


def test_changes_below_a_folder(tmp_path: Path):
    for name in ("a.py", "b.py", "penstock.toml", "notes.txt", ".git/c.py", "package/d.py", "venv/e.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("1")
    (tmp_path / "venv" / "pyvenv.cfg").touch()
    sources = Sources(tmp_path)
    assert sources.changed() == []
    for name in ("a.py", "penstock.toml", "notes.txt", ".git/c.py", "package/d.py", "venv/e.py", "package/new.py"):
        (tmp_path / name).write_text("22")
    (tmp_path / "b.py").unlink()
    assert sources.changed() == ["a.py", "b.py", "package/d.py", "package/new.py", "penstock.toml"]
    assert sources.changed() == []


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (b"x = 1", None),
        (b"def f(:\n  pass", "a.py, line 1: "),
        (b"x = '\xff'", "a.py, line 1: (unicode error)"),
        (b"x = 1\0", "a.py: source code string cannot contain null bytes"),
        (None, None),
    ],
)
def test_errors_of_syntax(tmp_path: Path, source: bytes | None, said: str | None):
    if source is not None:
        (tmp_path / "a.py").write_bytes(source)
    error = find_error(tmp_path, ["a.py"])
    assert error is None if said is None else error is not None and error.startswith(said)


def test_a_worker_follows_its_source(penstock, folder: Path, start_worker):
    """Takes 4 s: each change starts a worker."""
    source = folder / "shop.py"
    source.write_text(APP.format(word="one"))
    penstock("enqueue", "shop:app", "say", "[]")
    worker = start_worker("shop:app", "-c", "1", "--reload")
    assert worker.printed() == "one"
    source.write_text("def broken(:")
    worker.hear("penstock: shop.py, line 1: ")
    source.write_text(APP.format(word="twice"))
    worker.hear("penstock: shop.py changed: starting anew")
    penstock("enqueue", "shop:app", "say", "[]")
    while (word := worker.printed()) != "twice":
        # The old one may have taken it, which has not heard yet that it is to stop.
        assert word == "one"
        penstock("enqueue", "shop:app", "say", "[]")
    source.write_text("import nothing_of_that_name")
    worker.hear("nothing_of_that_name")
    worker.hear("the worker has ended; waiting for a change")
    source.write_text(APP.format(word="thrice"))
    penstock("enqueue", "shop:app", "say", "[]")
    assert worker.printed() == "thrice"
    worker.signal(signal.SIGTERM)
    assert worker.end() == 0
    assert penstock("status", "shop:app", "--json").json["workers"] == []


def test_a_worker_stops_when_its_reloader_is_killed(start_worker):
    worker = start_worker("shop:app", "-c", "1", "--reload")
    worker.hear("takes default")
    worker.signal(signal.SIGKILL)
    worker.hear("stopping: got SIGTERM")
    worker.hear("stopped")


@pytest.mark.parametrize("words", [["--burst"], ["--probe", "8080"]])
def test_what_does_not_go_with_it(penstock, words):
    assert "leave one of them out" in penstock("worker", "shop:app", "--reload", *words).err
