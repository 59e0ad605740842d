"""Processes that are started, counted, replaced and told to leave."""

import os
import select
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest
from yard import Yard, until

from penstock.brokers.inspect import Selection
from penstock.core.outcome import Ending
from penstock.events.emit import (
    JobEnded,
    ProcessDied,
    ProcessKilled,
    ProcessRefused,
    WorkerStarted,
    WorkerStopped,
    WorkerStopping,
)
from penstock.testing.servers import RedisServer
from penstock.testing.servers.process import LOOPBACK
from penstock.worker.lane import Lane
from penstock.worker.upkeep import Upkeep

TASKS = """
@app.task(name="good")
def good() -> None:
    note("good")

@app.task(name="gated", kill_after=0.3)
def gated() -> None:
    note("gated")
    while not (FOLDER / "gate").exists():
        time.sleep(0.01)
    time.sleep(0.5)
    note("through")

@app.task(name="wait", kill_after=0.3)
def wait(how: str) -> None:
    note(f"wait-{how}")
    if how == "in C":
        sum(range(10**12))
    threading.Event().wait()
"""


def test_a_lane_grows_and_shrinks_as_it_is_told(yard: Yard) -> None:
    supervisor = yard.start(Lane("yard_app:app", 1))
    until(lambda: supervisor.lanes()[0].booted == 1, "the first is up")
    supervisor.resize(0, 3)
    until(lambda: supervisor.lanes()[0].booted == 3, "two more are up")
    supervisor.resize(0, 1)
    until(lambda: supervisor.lanes()[0].running == 1, "two have left")
    supervisor.resize(0, 0)
    until(lambda: supervisor.lanes()[0].running == 0, "the last has left")
    supervisor.resize(0, 1)
    until(lambda: supervisor.lanes()[0].booted == 1, "one is up again")
    assert yard.of(ProcessDied) == []


def test_a_process_that_does_not_come_up_says_why_once_and_is_tried_again_with_pauses(yard: Yard) -> None:
    yard.write(TASKS)
    supervisor = yard.start(Lane("yard_app:app", 2))
    until(lambda: supervisor.lanes()[0].booted == 2, "both are up")
    path = yard.folder / "yard_app.py"
    whole = path.read_text()
    path.write_text(whole + "raise LookupError('a bug in a deploy')")
    for pid in supervisor.lanes()[0].pids:
        os.kill(pid, signal.SIGKILL)

    def stillborn() -> list[ProcessDied]:
        # Where one had worked for a while when it was killed, another took its place at once, and may be gone before the second one is.
        return [died for died in yard.of(ProcessDied) if died.how == "ended with status 2"]

    until(lambda: any(died.again_in >= 0.5 for died in stillborn()), "it was tried again, and is put off")
    assert "a bug in a deploy" in stillborn()[0].words
    assert {died.how for died in yard.of(ProcessDied)} == {"was killed by SIGKILL", "ended with status 2"}
    assert supervisor.report().trouble == "processes of the lane default do not come up; its log says why"
    path.write_text(whole)
    until(lambda: supervisor.lanes()[0].booted == 2, "both are up again")
    yard.send("good")
    until(yard.notes, "they work")


def test_a_system_without_room_for_another_process_is_asked_again(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    yard.write(TASKS)
    supervisor = yard.start(Lane("yard_app:app", 1))
    until(lambda: supervisor.lanes()[0].booted == 1, "it is up")
    with monkeypatch.context() as full:

        def refuse(*words: object, **options: object) -> None:
            raise BlockingIOError(11, "Resource temporarily unavailable")

        full.setattr(subprocess, "Popen", refuse)
        supervisor.resize(0, 2)
        until(lambda: yard.of(ProcessRefused), "it is refused")
    until(lambda: supervisor.lanes()[0].booted == 2, "there is room again")
    (event,) = yard.of(ProcessRefused)
    assert (event.reason, event.again_in) == ("[Errno 11] Resource temporarily unavailable", 0.5)


def test_an_app_that_can_not_be_loaded_ends_the_worker(yard: Yard) -> None:
    yard.write("")
    (yard.folder / "yard_app.py").write_text("raise LookupError('a bug')")
    supervisor = yard.start(Lane("yard_app:app", 4))
    until(lambda: supervisor.stopping, "it gives up")
    assert yard.of(WorkerStarted) == yard.of(ProcessDied) == []


def test_a_first_process_that_is_killed_as_it_comes_up_is_tried_again(yard: Yard) -> None:
    yard.write(TASKS)
    app = yard.folder / "yard_app.py"
    app.write_text(f"import os, pathlib, time\npathlib.Path('pid').write_text(str(os.getpid()))\n{app.read_text()}")
    first = yard.folder / "pid"
    supervisor = yard.start(Lane("yard_app:app", 2))
    until(first.exists, "the first one boots")
    until(first.read_text, "it says who it is")
    os.kill(int(first.read_text()), signal.SIGKILL)
    until(lambda: supervisor.lanes()[0].booted == 2, "both are up")
    (died,) = yard.of(ProcessDied)
    assert died.how == "was killed by SIGKILL"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_one_whose_heartbeats_have_ended_stops(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> float:
        raise LookupError("a bug")

    supervisor = yard.start(Lane("yard_app:app", 1))
    until(lambda: supervisor.lanes()[0].booted == 1, "it is up")
    monkeypatch.setattr(Upkeep, "_round", broken)
    until(lambda: yard.of(WorkerStopped), "others take its jobs now, so it has ended")
    assert "heartbeats have ended" in str(yard.of(WorkerStopping))


def test_a_job_that_runs_can_be_cancelled_also_where_it_does_not_listen(yard: Yard) -> None:
    yard.write(TASKS)
    yard.start(Lane("yard_app:app", 2))
    jobs = {how: yard.send("wait", how) for how in ("in Python", "in C")}
    until(lambda: len(yard.notes()) == 2, "both run")
    with yard.app.inspector() as inspector:
        assert inspector.cancel(Selection(ids=tuple(jobs.values()))) == 2
        for job in jobs.values():
            until(lambda job=job: (found := inspector.get(job)) and found.state == "cancelled", "it is cancelled")
    (killed,) = yard.of(ProcessKilled)
    assert killed.excess == {jobs["in C"]: "cancelled"}
    assert yard.of(ProcessDied) == []
    assert all(event.outcome.ending is Ending.CANCELLED for event in yard.of(JobEnded))
    yard.send("good")
    until(lambda: len(yard.notes()) == 3, "the processes work")


def test_a_job_that_was_cancelled_once_may_run_again(yard: Yard) -> None:
    yard.write(TASKS)
    yard.start(Lane("yard_app:app", 1))
    job = yard.send("gated")
    until(yard.notes, "it runs")
    with yard.app.inspector() as inspector:
        assert inspector.cancel(Selection(ids=(job,))) == 1
        until(lambda: (found := inspector.get(job)) and found.state == "cancelled", "it is cancelled")
        (yard.folder / "gate").touch()
        assert inspector.retry(Selection(ids=(job,))) == 1
    until(lambda: len(yard.notes()) == 3, "it has run to its end, past the time it had to be cancelled in")
    assert yard.notes()[2].startswith("through")
    assert yard.of(ProcessKilled) == yard.of(ProcessDied) == []


def test_one_that_waits_for_its_first_heartbeat_can_be_stopped(yard: Yard, queue_file: Path) -> None:
    yard.write(TASKS)
    yard.send("good")
    with closing(sqlite3.connect(queue_file, isolation_level=None)) as other:
        other.execute("begin immediate")
        supervisor = yard.start(Lane("yard_app:app", 2))
        until(lambda: supervisor.lanes()[0].booted, "the first is up")
        assert supervisor.report().trouble == "the store has not answered yet"
        before = time.monotonic()
        yard.stop(supervisor)
        assert time.monotonic() - before < 3
        assert yard.of(WorkerStarted) == []
    assert yard.notes() == []


def hand_on(one: socket.socket, other: socket.socket) -> None:
    """What comes from either, until one of them is closed."""
    with one, other, suppress(OSError):
        while True:
            for source in select.select([one, other], [], [])[0]:
                if not (said := source.recv(65536)):
                    return
                (other if source is one else one).sendall(said)


def cut_the_first(door: socket.socket, port: int) -> None:
    """Hang up on who comes first, and hand all others on to a server."""
    door.accept()[0].close()
    with suppress(OSError):
        while True:
            ends = door.accept()[0], socket.create_connection((LOOPBACK, port))
            threading.Thread(target=hand_on, args=ends).start()


def test_a_first_connection_that_is_cut_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with RedisServer(appendfsync="always") as server, socket.create_server((LOOPBACK, 0)) as door:
        between = threading.Thread(target=cut_the_first, args=(door, server.port))
        between.start()
        yard = Yard(tmp_path, f"redis://{LOOPBACK}:{door.getsockname()[1]}/0", TASKS)
        supervisor = yard.start(Lane("yard_app:app", 1))
        until(lambda: supervisor.lanes()[0].booted == 1, "it is up")
        yard.send("good")
        until(yard.notes, "it works")
        yard.close()
        door.shutdown(socket.SHUT_RDWR)
        between.join()
