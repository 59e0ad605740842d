"""Handles on workflows."""

import threading
from collections.abc import Iterator

import pytest

from penstock import Penstock, State, chain, group
from penstock.errors import ConfigError, ResultTimeout, UnknownWorkflow

app = Penstock("sqlite:///unused.db")


@app.task
def same(x: int) -> int:
    return x


@pytest.fixture(autouse=True)
def store(queue_url: str) -> Iterator[None]:
    with app.elsewhere(queue_url):
        yield


def test_a_handle_is_had_by_the_id() -> None:
    started = chain(same.s(1), same.s()).delay()
    found = app.workflow(started.id)
    assert (found.id, found.state(), found.progress()) == (started.id, State.RUNNING, (0, 2))
    app.drain()
    assert (found.result(0), found.state(), found.progress()) == (1, State.DONE, (2, 2))
    assert repr(found) == f"<StartedWorkflow {started.id}>"


def test_who_did_not_start_it_has_no_results_of_several_last_jobs() -> None:
    started = group(same.s(1), same.s(2)).delay()
    app.drain()
    with pytest.raises(ConfigError, match="one last step"):
        app.workflow(started.id).result(0)


def test_what_is_not_there() -> None:
    with pytest.raises(UnknownWorkflow, match="no workflow"):
        app.workflow("0197b3a4-6c1e-7000-8000-000000000000")


def test_waiting_has_an_end() -> None:
    with pytest.raises(ResultTimeout):
        same.s(1).delay().result(0.01)


def test_waiting_for_all_of_it_says_how_it_ended() -> None:
    started = group(same.s(1), same.s(2)).delay()
    with pytest.raises(ResultTimeout, match=r"workflow did not end within 0\.01 s"):
        started.wait(0.01)
    runs = threading.Thread(target=Penstock.drain, args=(app,))
    runs.start()
    assert started.wait(30) is State.DONE
    runs.join()
    cancelled = chain(same.s(1), same.s()).delay()
    cancelled.cancel()
    assert cancelled.wait(0) is State.DEAD
