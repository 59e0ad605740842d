"""Who waits for jobs of a SQLite file to end."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from penstock.brokers.sqlite.ends import Ends

WAITS = """
import sys, threading
from penstock.brokers.sqlite.ends import Ends

with Ends(sys.argv[1]).watching(lambda ids: None) as hears:
    print(hears, flush=True)
    threading.Event().wait()
"""


def folder(path: Path) -> Path:
    return Path(f"{path}-waits")


def test_one_that_was_killed_is_cleaned_up_after(queue_file: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", WAITS, str(queue_file)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "True\n"
    os.kill(child.pid, signal.SIGKILL)
    child.wait(30)
    child.stdout.close()
    ends = Ends(str(queue_file))
    assert ends.is_watched()
    ends.tell([b"1" * 16])
    assert not ends.is_watched()
    ends.tell([b"1" * 16])


def test_what_has_no_room_is_made_up_for(queue_file: Path) -> None:
    ends = Ends(str(queue_file))
    busy, goes_on, caught_up = threading.Event(), threading.Event(), threading.Event()

    def tell(ids: object) -> None:
        if ids == ():
            caught_up.set()
        busy.set()
        goes_on.wait(30)

    with ends.watching(tell) as hears:
        assert hears
        while not any(name.endswith(".missed") for name in os.listdir(folder(queue_file))):
            ends.tell([b"1" * 16])
        assert busy.wait(30)
        goes_on.set()
        assert caught_up.wait(30)
    assert not folder(queue_file).exists()


def test_nobody_hears_where_no_socket_can_be(tmp_path: Path) -> None:
    with Ends(str(tmp_path / "no" / "such" / "folder" / "jobs.db")).watching(lambda ids: None) as hears:
        assert not hears
