"""How much memory processes have."""

import subprocess
import sys

from yard import until

from penstock.worker import memory

BIG = """
import os
data = bytearray(b"x") * (200 << 20)
if os.fork() == 0:
    input()
else:
    os.wait()
"""


def test_it_is_that_of_all_and_what_is_shared_is_shared_out() -> None:
    with subprocess.Popen([sys.executable, "-c", BIG], stdin=subprocess.PIPE) as process:
        until(lambda: children(process.pid), "both run")
        both = [process.pid, *children(process.pid)]
        until(lambda: memory.resident([process.pid]) > 200 << 20, "it has its memory")
        until(lambda: memory.resident(both) > 400 << 20, "so has the other, as it seems")
        assert 200 << 20 < memory.proportional(both) < 300 << 20
        process.communicate(b"\n")
    assert memory.resident(both) == memory.proportional(both) == 0


def children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]
