"""`penstock status --watch`, on a terminal."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
from contextlib import suppress

import pytest

from penstock.brokers import connect
from penstock.client import new_ids
from penstock.core.job import NewJob
from penstock.core.metrics import FINE, Figures, Point, TaskFigures

POINT = Point(10.0, Figures((TaskFigures("shop.invoice", "default", (2.0, 0.0, 1.0)),)), memory=1e8, processes=1)


@pytest.fixture(autouse=True)
def drained(folder):
    """A queue with a job in it, and figures of a worker that has left."""
    broker = connect(f"sqlite:///{folder}/jobs.db")
    broker.open()
    broker.enqueue([NewJob(new_ids(1)[0], "shop.each", b"\x91\x01", queue="later")])
    broker.record("ab12", FINE, 1, POINT)
    broker.close()


def plain(text):
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)


def test_it_draws_and_ends_with_q(on_terminal):
    shown = on_terminal("status", "shop:app", "--watch", input="q")
    assert shown.code == 0
    # The screen of before comes back.
    assert "\x1b[?1049h" in shown.out
    assert shown.out.rstrip().endswith("\x1b[?25h") or shown.out.count("\x1b[?1049l") == 1
    text = plain(shown.out)
    assert "sqlite:///jobs.db" in text
    assert "2 done" in text
    assert "1 dead" in text
    assert "shop.invoice" in text
    assert "later" in text


def test_without_colours_it_is_the_same(on_terminal):
    shown = on_terminal("status", "shop:app", "--watch", input="q", NO_COLOR="1")
    assert shown.code == 0
    assert "\x1b[3" not in shown.out
    assert "2 done" in plain(shown.out)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order_and_the_terminal_is_as_before(folder, number):
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    process = subprocess.Popen(
        [sys.executable, "-m", "penstock", "status", "shop:app", "--watch"],
        cwd=folder, env=os.environ | {"TERM": "xterm"}, stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    said = b""
    while b"q quits" not in said:
        said += os.read(ours, 65536)
    process.send_signal(number)
    # Read all along: a terminal that takes no more would hold up whoever draws on it.
    said = b""
    while process.poll() is None:
        if select.select([ours], [], [], 0.05)[0]:
            said += os.read(ours, 65536)
    os.set_blocking(ours, False)
    with suppress(BlockingIOError):
        said += os.read(ours, 65536)
    assert process.returncode == 0
    assert b"\x1b[?1049l" in said
    assert b"Traceback" not in said
    assert termios.tcgetattr(theirs) == before
    os.close(ours)
    os.close(theirs)


def test_where_nobody_looks_it_says_so(penstock):
    found = penstock("status", "shop:app", "--watch")
    assert found.code == 2
    assert "--watch draws on a terminal, and this is none: use --json" in found.err
    assert "\x1b" not in found.out + found.err


def test_json_is_for_programs(penstock):
    found = penstock("status", "shop:app", "--watch", "--json")
    assert found.code == 2
    assert "--watch is for people and --json for programs" in found.err


def test_a_queue_that_is_not_there_is_an_error_as_ever(on_terminal):
    shown = on_terminal("status", "sqlite:///none.db", "--watch", input="q")
    assert shown.code == 1
    assert "there is no queue in sqlite:///none.db yet" in shown.out
    assert "\x1b[?1049h" not in shown.out
