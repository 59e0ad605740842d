"""A Redis with a replica, and three sentinels that watch over both."""

import threading
from contextlib import ExitStack, suppress
from typing import Any

import redis
from oracle import until

from penstock.testing.servers import RedisServer
from penstock.testing.servers.process import LOOPBACK, ServerProcess

_pause = threading.Event()
SERVICE = "main"


class Watched:
    """Two servers, of which one is the master.

    Parameters:
        stack: ends them all.
    """

    def __init__(self, stack: ExitStack) -> None:
        first = stack.enter_context(RedisServer())
        second = stack.enter_context(RedisServer(options=["--replicaof", LOOPBACK, str(first.port)]))
        self._servers = [first, second]
        self._sentinels = [ServerProcess("sentinel") for _ in range(3)]
        for sentinel in self._sentinels:
            stack.callback(sentinel.remove)
            settings = sentinel.folder / "sentinel.conf"
            settings.write_text(
                f"port {sentinel.port}\nbind {LOOPBACK}\nsentinel monitor {SERVICE} {LOOPBACK} {first.port} 2\n"
                f"sentinel down-after-milliseconds {SERVICE} 500\nsentinel failover-timeout {SERVICE} 3000\n",
                "ascii",
            )
            port = sentinel.port
            sentinel.start([first.program, str(settings), "--sentinel"], lambda port=port: told(port, "PING"))
        until(self.is_whole, 30, "all sentinels know one another and the replica")

    @property
    def url(self) -> str:
        """By way of the sentinels."""
        hosts = ",".join(f"{LOOPBACK}:{sentinel.port}" for sentinel in self._sentinels)
        return f"redis+sentinel://{hosts}/{SERVICE}"

    def is_whole(self) -> bool:
        """Is there a replica to take over, and do enough sentinels agree on that?"""
        for sentinel in self._sentinels:
            master = told(sentinel.port, "SENTINEL", "MASTER", SERVICE)
            if not master or int(master[b"num-other-sentinels"]) != 2 or int(master[b"num-slaves"]) < 1:
                return False
        master_port = self._master_port()
        return any(
            server.port == master_port and (told(server.port, "INFO", "replication") or {}).get("connected_slaves") == 1
            for server in self._servers
        )

    def _master_port(self) -> int:
        address = told(self._sentinels[0].port, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        return int(address[1]) if address else 0

    def kill_master(self) -> RedisServer:
        """kill -9, once the replica has all; returns it when another is the master."""
        port = self._master_port()
        server, replica = sorted(self._servers, key=lambda each: each.port != port)
        until(lambda: server.is_copied_to(replica), 30, "the replica has all")
        server.kill()
        until(lambda: self._master_port() not in {0, port}, 30, "another is the master")
        return server


def told(port: int, *words: str) -> Any:
    """What a server answers, or None where it does not."""
    with redis.Redis(LOOPBACK, port, socket_timeout=2) as client, suppress(redis.RedisError):
        return client.execute_command(*words)
