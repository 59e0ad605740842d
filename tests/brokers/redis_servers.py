"""Redis on several servers: a cluster, and what they are asked from outside."""

import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any

import pytest
import redis

from penstock.errors import StoreError
from penstock.testing.servers import RedisServer
from penstock.testing.servers.process import LOOPBACK, free_port

SLOTS = 16384


def ask(url: str, *words: str) -> Any:
    """What the server answers to a command."""
    with redis.Redis.from_url(url.partition("?")[0]) as client:
        return client.execute_command(*words)


def wait_for(condition: Callable[[], object]) -> None:
    """Wait for what a server does by itself; while it does not answer, it has not."""
    pause = threading.Event()
    for _ in range(2000):
        with suppress(redis.RedisError, StoreError):
            if condition():
                return
        pause.wait(0.01)
    pytest.fail("not within 20 s")


class Cluster:
    """Three masters that share the slots, and a replica of the one that has the queue.

    Parameters:
        stack: ends it.
    """

    def __init__(self, stack: ExitStack) -> None:
        self._ports = [str(free_port()) for _ in range(4)]
        options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "500", "--repl-ping-replica-period", "1"]
        self._nodes = [
            stack.enter_context(RedisServer(options=[*options, "--cluster-port", port])) for port in self._ports
        ]
        first = self._nodes[0].url()
        self.slot = int(ask(first, "CLUSTER", "KEYSLOT", "{penstock}:"))
        at = self.slot * 3 // SLOTS
        #: The master that has the queue, another, and the replica of the first.
        self.owner, self.other, self.replica = self._nodes[at], self._nodes[(at + 1) % 3], self._nodes[3]
        for number, node in enumerate(self._nodes[:3]):
            low, high = -(-SLOTS * number // 3), -(-SLOTS * (number + 1) // 3) - 1
            ask(node.url(), "CLUSTER", "ADDSLOTSRANGE", str(low), str(high))
        for node, port in zip(self._nodes[1:], self._ports[1:], strict=True):
            ask(first, "CLUSTER", "MEET", LOOPBACK, str(node.port), port)
        wait_for(lambda: ask(self.replica.url(), "CLUSTER", "REPLICATE", self.name(self.owner)))
        for node in self._nodes:
            wait_for(lambda node=node: self._is_whole(node))
        wait_for(lambda: ask(self.owner.url(), "INFO", "replication")["connected_slaves"] == 1)

    @property
    def url(self) -> str:
        """By all of its nodes, so that any may be away."""
        return f"redis://{','.join(f'{LOOPBACK}:{node.port}' for node in self._nodes)}/0"

    @staticmethod
    def name(node: RedisServer) -> str:
        """What the cluster calls it."""
        return str(ask(node.url(), "CLUSTER", "MYID").decode())

    @staticmethod
    def _is_whole(node: RedisServer) -> bool:
        told = ask(node.url(), "CLUSTER", "INFO")
        return b"cluster_state:ok" in told and b"cluster_known_nodes:4" in told and b"cluster_size:3" in told

    def begin_to_move(self) -> None:
        """Have the queue's slot leave for another master."""
        ask(self.other.url(), "CLUSTER", "SETSLOT", str(self.slot), "IMPORTING", self.name(self.owner))
        ask(self.owner.url(), "CLUSTER", "SETSLOT", str(self.slot), "MIGRATING", self.name(self.other))

    def move_keys(self, most: int = 1000) -> int:
        """Take some of its keys over; returns how many there were."""
        keys = ask(self.owner.url(), "CLUSTER", "GETKEYSINSLOT", str(self.slot), str(most))
        if keys:
            ask(self.owner.url(), "MIGRATE", LOOPBACK, str(self.other.port), "", "0", "5000", "KEYS", *keys)
        return len(keys)

    def end_move(self) -> None:
        """All are there: it is the other's."""
        for node in (self.other, self.owner):
            ask(node.url(), "CLUSTER", "SETSLOT", str(self.slot), "NODE", self.name(self.other))
