import subprocess
import sys

import msgspec
import pytest

from penstock.core.job import Failure, Lease, NewJob
from penstock.core.outcome import Ending, Outcome
from penstock.events.emit import Emitter, JobEnded
from penstock.events.log import log_events


def test_verbose_is_for_what_happens_to_jobs_and_not_for_what_drivers_say() -> None:
    program = """
import logging
from penstock.events.log import configure
configure(verbose=True)
print(*[logging.getLogger(name).isEnabledFor(logging.DEBUG) for name in ("penstock", "pymongo.command")])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    assert done.stdout.split() == ["True", "False"]


def test_what_a_driver_says_of_a_connection_that_was_lost_is_no_traceback() -> None:
    program = """
from pymongo.logger import _log_client_error
from penstock.events.log import configure
configure(verbose=False)
try:
    raise ConnectionError
except ConnectionError:
    _log_client_error()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    assert done.stderr == ""


def test_jobs_that_came_to_the_same_end_are_one_line(caplog: pytest.LogCaptureFixture) -> None:
    emitter = Emitter()
    log_events(emitter)
    lease = Lease(bytes(16), 1, 1, "store", b"")
    failure = Failure("ValueError", "no such account", "Traceback\n  its frames")
    emitter.emit(JobEnded(Outcome(lease, Ending.RETRY, delay=1.0, failure=failure), 0.1, 999))
    emitter.emit(JobEnded(Outcome(lease, Ending.DEAD, failure=failure), 0.1))
    crashed = msgspec.structs.replace(lease, crashes=2)
    emitter.emit(JobEnded(Outcome(crashed, Ending.DEAD, failure=Failure("Crashed", "it died"), crashes=1), 0.1))
    away = Failure("StoreUnavailable", "connection refused")
    emitter.emit(JobEnded(Outcome(lease, Ending.SNOOZE, delay=0.5, failure=away), 0.1, 2))
    id = "00000000-0000-0000-0000-000000000000"
    assert [record.getMessage() for record in caplog.records] == [
        f"retry    store {id} and 999 more in 1.0 s, after attempt 1: ValueError: no such account",
        f"dead     store {id} after attempt 1: ValueError: no such account",
        "Traceback\n  its frames",
        f"dead     store {id} after 3 crashes: Crashed: it died",
        f"waits    store {id} and 2 more, for 0.5 s at first: StoreUnavailable: connection refused",
    ]


def test_jobs_that_were_added_are_no_failures(caplog: pytest.LogCaptureFixture) -> None:
    emitter = Emitter()
    log_events(emitter)
    single = Lease(bytes(16), 1, 1, "crawl", b"")
    row = msgspec.structs.replace(single, items=3, packed=True)
    for lease in (single, row):
        emitter.emit(JobEnded(Outcome(lease, follow_ups=(NewJob(bytes(16), "crawl", b""),)), 0.1))
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "done     crawl 00000000-0000-0000-0000-000000000000 in 100.0 ms (3 items, 1 failed)")
    ]
