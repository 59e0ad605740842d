"""What two idle child processes cost: separate interpreters against a preloaded forkserver.

Run it as `python docs/adr/0003-spawn.py spawn|forkserver [MODULE...]`, on Linux. The modules are imported by the
children, and preloaded by the forkserver; without any they are msgspec and sqlite3. Printed are the time until both
children have said that they are ready, and the PSS of every process that was started.
"""

import importlib
import subprocess
import sys
import time
from multiprocessing import forkserver, get_context, resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path

CHILDREN = 2


def pss(pid: int) -> float:
    """The proportional set size of a process, in MB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"no Pss for process {pid}")


def report(connection: Connection, modules: list[str]) -> None:
    """A forked child: import, say so, wait to be let go."""
    for module in modules:
        importlib.import_module(module)
    connection.send_bytes(b".")
    connection.recv_bytes()


def spawned(modules: list[str]) -> tuple[float, list[float]]:
    """Seconds until ready, and the PSS of each process, with separate interpreters."""
    code = f"import sys, {', '.join(modules)}; sys.stdout.write('.'); sys.stdout.flush(); sys.stdin.read()"
    begin = time.perf_counter()
    children = [
        subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(CHILDREN)
    ]
    for child in children:
        assert child.stdout is not None
        child.stdout.read(1)
    took = time.perf_counter() - begin
    sizes = [pss(child.pid) for child in children]
    for child in children:
        child.communicate()
    return took, sizes


def forked(modules: list[str]) -> tuple[float, list[float]]:
    """The same with a forkserver; its own process and the resource tracker are counted."""
    context = get_context("forkserver")
    context.set_forkserver_preload(modules)
    begin = time.perf_counter()
    pipes, children = [], []
    for _ in range(CHILDREN):
        here, there = context.Pipe()
        child = context.Process(target=report, args=(there, modules))
        child.start()
        pipes.append(here)
        children.append(child)
    for pipe in pipes:
        pipe.recv_bytes()
    took = time.perf_counter() - begin
    helpers = [vars(forkserver._forkserver)["_forkserver_pid"], vars(resource_tracker._resource_tracker)["_pid"]]
    sizes = [pss(pid) for pid in [*(child.pid for child in children), *helpers]]
    for pipe, child in zip(pipes, children, strict=True):
        pipe.send_bytes(b".")
        child.join()
    return took, sizes


if __name__ == "__main__":
    how = {"spawn": spawned, "forkserver": forked}[sys.argv[1]]
    took, sizes = how(sys.argv[2:] or ["msgspec", "sqlite3"])
    print(f"{took * 1000:.0f} ms, {sum(sizes):.1f} MB: {' + '.join(f'{size:.1f}' for size in sizes)}")
