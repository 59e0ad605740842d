"""Machines that are none: each has network interfaces, a host name, processes and a clock of its own, on one bridge."""

import itertools
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

HERE = Path(__file__).parent
HOST = "node"


class Network:
    """A bridge with an address of this machine, and nodes at it."""

    _numbers = itertools.count()

    def __init__(self) -> None:
        assert os.geteuid() == 0, "this test makes network namespaces: run it as root"
        number = (os.getpid() * 7 + next(self._numbers)) % 65536
        # One of the networks that are kept for such tests (RFC 2544).
        self._prefix = f"198.{18 + number % 2}.{number // 2 % 256}"
        self._name = f"{os.getpid()}x{number}"
        self.bridge = f"pb{self._name}"[:15]
        self.address = f"{self._prefix}.1"
        self.nodes: list[Node] = []
        call("ip", "link", "add", self.bridge, "type", "bridge")
        call("ip", "addr", "add", f"{self.address}/24", "dev", self.bridge)
        call("ip", "link", "set", self.bridge, "up")

    def node(self, folder: Path, clock: float = 0.0) -> "Node":
        """Add a machine whose clock is so many seconds ahead."""
        number = len(self.nodes) + 2
        node = Node(f"ps{self._name}n{number}", folder, clock)
        self.nodes.append(node)
        call("ip", "netns", "add", node.name)
        link = f"pv{os.getpid()}n{number}"[:15]
        call("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", node.name)
        call("ip", "link", "set", link, "master", self.bridge, "up")
        call("ip", "-n", node.name, "addr", "add", f"{self._prefix}.{number}/24", "dev", "eth0")
        for name in ("lo", "eth0"):
            call("ip", "-n", node.name, "link", "set", name, "up")
        return node

    def remove(self) -> None:
        """Leave nothing of it behind."""
        for node in self.nodes:
            node.kill()
            subprocess.run(["ip", "netns", "del", node.name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "del", self.bridge], check=False, capture_output=True)


class Node:
    """One machine. All have the same host name, and the first process of each has the same id."""

    def __init__(self, name: str, folder: Path, clock: float) -> None:
        self.name = name
        self.folder = folder
        self._clock = clock
        self._started: list[subprocess.Popen[bytes]] = []

    def command(self, *words: str) -> list[str]:
        """A command line that runs there, in a process tree of its own that ends with its first process."""
        inside = ["unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c"]
        return ["ip", "netns", "exec", self.name, *inside, f'hostname {HOST}; exec "$@"', "sh", *words]

    def environment(self, changes: dict[str, str]) -> dict[str, str]:
        """With the node's clock."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
        return {**clean, "PYTHONPATH": str(HERE / "clock"), "NODE_CLOCK": str(self._clock), **changes}

    def start(self, *words: str, **changes: str) -> Path:
        """Start `penstock` with these words; returns the file that it writes what it says to."""
        said = self.folder / f"{self.name}-{len(self._started)}"
        with said.open("wb") as output:
            process = subprocess.Popen(
                self.command(sys.executable, "-m", "penstock", *words),
                cwd=HERE,
                env=self.environment(changes),
                stdout=output,
                stderr=output,
            )
        self._started.append(process)
        return said

    def run(self, *words: str, **changes: str) -> str:
        """Run Python with these words to its end; returns what it printed."""
        ended = subprocess.run(
            self.command(sys.executable, *words),
            cwd=HERE,
            env=self.environment(changes),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def kill(self) -> None:
        """kill -9 of all that runs there, as when its power fails."""
        pids = subprocess.run(["ip", "netns", "pids", self.name], check=False, capture_output=True, text=True).stdout
        for pid in pids.split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        for process in self._started:
            process.kill()
            process.wait()
        self._started.clear()

    def cut_off(self) -> None:
        """Take its network away; what it has sent is never answered."""
        call("ip", "-n", self.name, "link", "set", "eth0", "down")

    def rejoin(self) -> None:
        """Give the network back."""
        call("ip", "-n", self.name, "link", "set", "eth0", "up")


def call(*words: str) -> None:
    """Run a command that must succeed."""
    ended = subprocess.run(words, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, f"{' '.join(words)}: {ended.stderr}"
