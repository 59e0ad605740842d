"""A process with all its descendants."""

import mmap
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from yard import until

from penstock.worker import tree

# A process that starts one in its own group, one in a session of its own, and one whose parent is gone.
PARENT = """
import os, subprocess, sys
sleep = [sys.executable, "-c", "import time; time.sleep(100)"]
plain = subprocess.Popen(sleep).pid
session = subprocess.Popen(sleep, start_new_session=True).pid
read, write = os.pipe()
if os.fork() == 0:
    os.setsid()
    os.write(write, f"{subprocess.Popen(sleep).pid}\\n".encode())
    os._exit(0)
os.wait()
print(plain, session, os.read(read, 100).decode(), flush=True)
input()
"""


class Parent:
    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PARENT],
            env={**os.environ, tree.MARK: f"test.{os.getpid()}"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0,
        )  # fmt: skip
        self.pid = self.process.pid
        assert self.process.stdout is not None
        self.plain, self.session, self.orphan = map(int, self.process.stdout.readline().split())

    def alive(self) -> set[str]:
        pids = {"plain": self.plain, "session": self.session, "orphan": self.orphan}
        return {name for name, pid in pids.items() if is_alive(pid)}

    def close(self) -> None:
        for pid in (self.plain, self.session, self.orphan):
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)
        self.process.kill()
        self.process.communicate()


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.fixture
def parent() -> Iterator[Parent]:
    parent = Parent()
    yield parent
    parent.close()


def test_descendants_are_found_whatever_session_they_are_in(parent: Parent) -> None:
    assert set(tree.descendants(parent.pid)) == {parent.plain, parent.session}
    assert set(tree.marked(f"test.{os.getpid()}")) == {parent.pid, parent.plain, parent.session, parent.orphan}
    assert tree.marked("test") == []


# The same as the product's forks: of a process that has memory of its mark and no variable of it.
FORK = """
import mmap, os, sys, time
from penstock.worker import tree
descriptor = os.memfd_create(tree.memory_name(sys.argv[1]))
os.ftruncate(descriptor, 4096)
memory = mmap.mmap(descriptor, 4096)
if (first := os.fork()) == 0:
    os.setsid()
    if (orphan := os.fork()) == 0:
        time.sleep(100)
    print(orphan, flush=True)
    os._exit(0)
os.waitpid(first, 0)
input()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the group stands for all")
def test_a_fork_without_parents_is_found_by_what_it_has_in_memory() -> None:
    mark = f"fork.{os.getpid()}"
    with subprocess.Popen([sys.executable, "-c", FORK, mark], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        orphan = int(process.stdout.readline())
        assert set(tree.marked(mark)) == {process.pid, orphan}
        assert tree.marked(mark[:-1]) == []
        # Whoever looks has the memory too, as its supervisor.
        descriptor = os.memfd_create(tree.memory_name(mark))
        os.ftruncate(descriptor, mmap.PAGESIZE)
        with mmap.mmap(descriptor, mmap.PAGESIZE):
            tree.end_tree(process.pid, mark)
        os.close(descriptor)
        assert process.wait(10) == -signal.SIGKILL
    until(lambda: not is_alive(orphan), "the fork is gone")


def test_many_threads_have_their_children_found_as_well() -> None:
    gate = threading.Event()
    threads = [threading.Thread(target=gate.wait) for _ in range(60)]
    for thread in threads:
        thread.start()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert child.pid in tree.descendants(os.getpid())
        child.communicate(b"\n")
    gate.set()
    for thread in threads:
        thread.join()


def test_the_whole_tree_is_killed(parent: Parent) -> None:
    tree.end_tree(parent.pid)
    until(lambda: parent.alive() == {"orphan"}, "the tree is gone")
    assert parent.process.wait(10) == -signal.SIGKILL
    tree.end_tree(parent.pid, f"test.{os.getpid()}")
    until(lambda: not parent.alive(), "the orphan is gone")


def test_a_process_that_starts_others_without_end_is_killed_with_them() -> None:
    bomb = "import os, time\nfor _ in range(200):\n    if os.fork() == 0: os.setsid(); time.sleep(100); os._exit(0)"
    mark = f"bomb.{os.getpid()}"
    with subprocess.Popen([sys.executable, "-c", bomb], env={**os.environ, tree.MARK: mark}) as process:
        until(lambda: len(tree.descendants(process.pid)) > 3, "it has started some")
        tree.end_tree(process.pid, mark)
        process.wait(10)
    until(lambda: tree.marked(mark) == [], "nothing is left")


def test_strangers_that_have_ended_are_collected() -> None:
    own = subprocess.Popen([sys.executable, "-c", ""])
    stranger = os.fork()
    if stranger == 0:
        os._exit(0)
    until(lambda: state(own.pid) == state(stranger) == "Z", "both have ended")
    tree.collect_strangers([own.pid])
    assert not os.path.exists(f"/proc/{stranger}")
    assert own.wait(1) == 0


def test_a_process_stands_still_until_it_may_go_on() -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        assert tree.freeze(process.pid)
        assert state(process.pid) == "T"
        tree.thaw(process.pid)
        until(lambda: state(process.pid) == "R", "it runs")
        process.kill()
    assert tree.freeze(process.pid)


def state(pid: int) -> str:
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0]
