"""How a process of a worker is started."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

# A program that starts one process and says what it has seen; `main` is what the process runs, as a fork or as a module of this name.
STARTER = """
import json, os, signal, sys, threading
from penstock.worker.program import Given, Program, leave

def main(orders):
    {main}
    return 0

def facts(orders):
    handlers = [number for number in signal.valid_signals() if callable(signal.getsignal(number))]
    told = dict(
        orders=orders, arguments=sys.argv[1:], group=os.getpgid(0) == os.getpid(), parent=os.getppid(),
        loaded="marker" in sys.modules, said=os.environ.get("SAID"), read=sys.stdin.read(),
        handlers=[int(number) for number in handlers if number != signal.SIGINT],
        blocked=sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, []))),
        descriptors=sorted(int(one) for one in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{{one}}")),
    )
    print(json.dumps(told), flush=True)

if __name__ == "__main__" and sys.argv[1:2] != ["start"]:
    leave(main(sys.argv.pop()))
if __name__ == "__main__":
    sys.path.insert(0, "")
    sys.modules["marker"] = sys
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    reader, writer = os.pipe()
    kept = os.open(os.devnull, os.O_RDONLY)
    {before}
    program = Program("starter", main)
    pid = program.start("the orders", {pool!r}, Given([kept], {{"SAID": "this"}}))
    {after}
    _, status = os.waitpid(pid, 0)
    print(json.dumps([os.waitstatus_to_exitcode(status), kept, os.getpid()]), flush=True)
"""


class Ran:
    def __init__(self, folder: Path, main: str, before: str, after: str, pool: str) -> None:
        text = STARTER.format(main=main, before=before, after=after, pool=pool)
        (folder / "starter.py").write_text(textwrap.dedent(text))
        ended = subprocess.run(
            [sys.executable, "starter.py", "start"],
            cwd=folder,
            input="typed",
            capture_output=True,
            text=True,
            check=True,
        )
        self.err = ended.stderr
        self.lines = ended.stdout.splitlines()
        self.status, self.kept, self.starter = json.loads(self.lines.pop())

    @property
    def facts(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.lines[-1])
        return told


def start(folder: Path, main: str = "facts(orders)", before: str = "", after: str = "", pool: str = "prefork") -> Ran:
    return Ran(folder, main, before, after, pool)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing tells that there is no other thread")
def test_a_program_of_one_thread_is_forked_and_the_fork_has_nothing_of_its_own(tmp_path: Path) -> None:
    ran = start(tmp_path)
    assert ran.status == 0
    assert ran.facts == {
        "orders": "the orders", "arguments": [], "group": True, "parent": ran.starter, "loaded": True, "said": "this", "read": "",
        "handlers": [], "blocked": [], "descriptors": [0, 1, 2, ran.kept],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("before", "pool"),
    [("threading.Thread(target=os.read, args=(reader, 1), daemon=True).start()", "prefork"), ("pass", "gevent")],
    ids=["another thread", "gevent"],
)
def test_else_it_is_a_fresh_interpreter_with_the_same_to_go_by(tmp_path: Path, before: str, pool: str) -> None:
    ran = start(tmp_path, before=before, pool=pool)
    assert ran.status == 0
    assert ran.facts == {
        "orders": "the orders", "arguments": [], "group": True, "parent": ran.starter, "loaded": False, "said": "this", "read": "",
        "handlers": [], "blocked": [], "descriptors": [0, 1, 2, ran.kept],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("main", "status", "said"),
    [
        ("raise ValueError('no')", 1, "ValueError: no"),
        ("sys.exit(3)", 3, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit('bad luck')", 1, "bad luck"),
        ("os.kill(os.getpid(), signal.SIGTERM)", -15, ""),
    ],
)
@pytest.mark.parametrize("before", ["pass", "threading.Thread(target=os.read, args=(reader, 1), daemon=True).start()"])
def test_it_ends_as_any_program_does(tmp_path: Path, main: str, status: int, said: str, before: str) -> None:
    ran = start(tmp_path, main, before)
    assert ran.status == status
    assert ran.err.strip().rpartition("\n")[2] == said


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing tells that there is no other thread")
def test_what_has_the_number_of_a_missing_standard_error_is_let_go_of_too(tmp_path: Path) -> None:
    ran = start(tmp_path, before="os.close(2); os.open(os.devnull, os.O_RDONLY)")
    assert ran.facts["descriptors"] == [0, 1, ran.kept]


def test_what_waits_to_be_written_is_written_once(tmp_path: Path) -> None:
    ran = start(tmp_path, "print('fork')", before="print('starter', end='|')")
    assert ran.lines == ["starter|fork"]


def test_a_signal_that_comes_meanwhile_is_not_the_supervisors(tmp_path: Path) -> None:
    """It waits until the fork has let go of the supervisor's handlers, and then ends it."""
    before = "os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGTERM))"
    ran = start(tmp_path, "print('went on')", before)
    assert (ran.status, ran.lines) == (-15, [])


def test_no_room_for_another_process_is_an_error(tmp_path: Path) -> None:
    before = "import resource; os.setuid(65534) or resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))"
    if os.geteuid():
        before = "import resource; resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))"
    with pytest.raises(subprocess.CalledProcessError) as caught:
        start(tmp_path, before=before)
    assert "BlockingIOError" in caught.value.stderr
