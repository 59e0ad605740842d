"""What the listening thread hears."""

import threading
import time

import pytest

from penstock.worker import hearing as hearing_module
from penstock.worker.hearing import Hearing

SECONDS = 10


class Worker:
    """Who is rung for."""

    def __init__(self) -> None:
        self.rung: list[bool] = []
        self.is_idle = True
        self.asked = threading.Event()
        self.free = threading.Event()

    def heard_bell(self, *, sent: bool = False) -> None:
        self.rung.append(sent)

    def wait_for_idle(self, seconds: float) -> bool:
        self.asked.set()
        self.free.wait(seconds)
        return self.is_idle


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.fixture
def nudge() -> threading.Event:
    return threading.Event()


@pytest.fixture
def hearing(worker: Worker, nudge: threading.Event) -> Hearing:
    return Hearing(worker, nudge)


def test_what_may_be_due_sooner_has_a_round_at_once_and_ready_jobs_do_soon(
    hearing: Hearing, worker: Worker, nudge: threading.Event
) -> None:
    hearing.round_begins()
    hearing.round_ends()
    hearing.ready()
    hearing.sent()
    assert not nudge.is_set()
    # Its pause was not made longer by them.
    began = time.monotonic()
    hearing.wait(SECONDS)
    assert time.monotonic() - began < SECONDS / 2
    hearing.wake()
    assert nudge.is_set()
    assert worker.rung == [False, True, False]


def test_without_news_a_round_waits_for_its_time(hearing: Hearing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hearing_module, "_APART", 0.0)
    hearing.round_begins()
    began = time.monotonic()
    hearing.wait(0.2)
    assert time.monotonic() - began >= 0.2


def test_it_has_heard_what_came_since(hearing: Hearing) -> None:
    before = time.monotonic()
    assert not hearing.has_heard(before)
    hearing.wake()
    assert hearing.has_heard(before)
    assert not hearing.has_heard(time.monotonic())


def test_while_it_waits_for_an_idle_process_it_is_not_deaf(hearing: Hearing, worker: Worker) -> None:
    assert not hearing.has_heard(time.monotonic())
    waiting = threading.Thread(target=hearing.idle, args=(SECONDS,))
    waiting.start()
    assert worker.asked.wait(SECONDS)
    assert hearing.has_heard(time.monotonic())
    worker.free.set()
    waiting.join(SECONDS)
    assert not hearing.has_heard(time.monotonic())
    worker.is_idle = False
    assert not hearing.idle(0)
    assert hearing.has_heard(time.monotonic()), "it asks again, and does not listen before"
    worker.is_idle = True
    assert hearing.idle(0)
    assert not hearing.has_heard(time.monotonic())
