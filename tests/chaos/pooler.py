"""A private PgBouncer before a PostgreSQL."""

import shutil
import socket
from types import TracebackType
from typing import Self

from penstock.testing.servers import PostgresServer
from penstock.testing.servers.process import LOOPBACK, ServerProcess

#: Connections to the server, fewer than clients have: each is handed from one to the next.
POOL = 3


class Pooler:
    """A PgBouncer on a free port.

    Parameters:
        mode: of the pool: when a connection to the server is given to another client.
    """

    def __init__(self, server: PostgresServer, mode: str) -> None:
        program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin:/usr/local/sbin")
        assert program is not None, "this test needs PgBouncer: tests/install-servers installs it"
        self._command = [program, "pgbouncer.ini"]
        self._server = server
        self.process = ServerProcess("pgbouncer", user="postgres")
        settings = {
            "listen_addr": LOOPBACK,
            "listen_port": self.process.port,
            "unix_socket_dir": "",
            "auth_type": "any",
            "pool_mode": mode,
            "default_pool_size": POOL if mode == "transaction" else 50,
            "max_client_conn": 200,
        }
        lines = [f"{name} = {value}" for name, value in settings.items()]
        place = f"host={LOOPBACK} port={server.process.port} dbname=penstock user=postgres"
        ini = "\n".join(["[databases]", f"penstock = {place}", "[pgbouncer]", *lines, ""])
        (self.process.folder / "pgbouncer.ini").write_text(ini, "ascii")

    def through(self, url: str) -> str:
        """The same place by way of the pooler."""
        return url.replace(f":{self._server.process.port}/", f":{self.process.port}/")

    def __enter__(self) -> Self:
        self.process.start(self._command, self._is_ready)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.process.remove()

    def _is_ready(self) -> bool:
        try:
            socket.create_connection((LOOPBACK, self.process.port), 1.0).close()
        except OSError:
            return False
        return True
