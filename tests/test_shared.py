"""Tasks of libraries."""

import gc
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from penstock import Penstock, shared, shared_task
from penstock.errors import ConfigError


@pytest.fixture(autouse=True)
def nothing_shared_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a program that has just begun."""
    monkeypatch.setattr(shared, "_tasks", {})
    monkeypatch.setattr(shared, "_apps", type(shared._apps)())
    monkeypatch.setattr(shared, "_running", [])


@pytest.fixture
def make(queue_url: str) -> Iterator[Callable[..., Penstock]]:
    made: list[Penstock] = []

    def make(url: str = queue_url) -> Penstock:
        made.append(Penstock(url))
        return made[-1]

    yield make
    for app in made:
        app.close()


def double(number: int) -> int:
    return 2 * number


def test_an_app_gets_the_tasks_that_were_there_before_it_and_those_that_come_later(make):
    before = shared_task(name="before")(double)
    app = make()
    later = shared_task(name="later", queue="else", retries=0)(double)
    assert set(app.tasks) == {"before", "later"}
    assert app.queues == ("default", "else")
    jobs = [before.delay(1), later.delay(2), later.options(priority=9).delay(3), app.find("later").delay(4)]
    assert app.drain() == 4
    assert [job.result(timeout=1) for job in jobs] == [2, 4, 6, 8]
    assert later(5) == 10


def test_without_an_app_it_can_be_called_but_not_sent():
    task = shared_task(double)
    urgent = task.options(priority=9)
    assert task(2) == 4
    for each in (task, urgent):
        with pytest.raises(ConfigError, match=r"test_shared\.double is a shared task, and there is no app yet"):
            each.delay(2)
    with pytest.raises(TypeError):
        task.delay("2", 3)


def test_options_taken_before_there_was_an_app_hold(make):
    urgent = shared_task(name="double")(double).options(queue="fast")
    app = make()
    urgent.delay(1)
    assert app.drain(queues=["fast"]) == 1


def test_with_two_apps_the_sender_says_which(make, tmp_path):
    task = shared_task(name="double")(double)
    first, second = make(), make(f"sqlite:///{tmp_path / 'other.db'}")
    with pytest.raises(ConfigError, match="2 apps have the shared task double"):
        task.delay(1)
    second.find("double").delay(1)
    assert (first.drain(), second.drain()) == (0, 1)
    shared.run_by(first)
    task.delay(1)
    assert (first.drain(), second.drain()) == (1, 0)


def test_an_app_that_is_gone_does_not_count(make, tmp_path):
    task = shared_task(name="double")(double)
    Penstock(f"sqlite:///{tmp_path / 'other.db'}", inline=True)
    app = make()
    task.delay(1)
    assert app.drain() == 1
    gc.collect()


def test_names_are_taken_once(make):
    shared_task(name="double")(double)
    with pytest.raises(ConfigError, match="there is a shared task 'double' already"):
        shared_task(name="double")(double)
    app = make()
    with pytest.raises(ConfigError, match="there is a task 'double' already"):
        app.task(name="double")(double)


def test_a_wrong_option_is_refused_at_once():
    with pytest.raises(TypeError, match="retrys"):
        shared_task(retrys=3)(double)
    with pytest.raises(ConfigError):
        shared_task(priority=12)(double)


def test_a_worker_runs_the_tasks_of_a_library_and_what_they_send(tmp_path: Path):
    (tmp_path / "library.py").write_text(
        "from penstock import shared_task\n\n"
        "@shared_task\ndef first(n: int) -> None:\n    second.delay(n + 1)\n\n"
        "@shared_task\ndef second(n: int) -> None:\n    print('second', n)\n"
    )
    (tmp_path / "shop.py").write_text(
        "import library\nfrom penstock import Penstock\n\n"
        "other = Penstock('sqlite:///other.db')\napp = Penstock('sqlite:///jobs.db')\n"
    )
    for words in (["enqueue", "shop:app", "first", "[1]"], ["worker", "shop:app", "-c", "1", "--burst"]):
        ended = subprocess.run(
            [sys.executable, "-m", "penstock", *words], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stderr
    assert "second 2" in ended.stdout
