"""What a worker answers to those who ask over HTTP whether it lives and works: an orchestrator, a load balancer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec

from penstock.brokers.inspect import LaneRecord
from penstock.errors import ConfigError

#: Seconds without a step of the supervisor after which it does not live any more.
LIVE_SECONDS = 15.0
_PATIENCE = 5.0


class Report(msgspec.Struct, frozen=True):
    """How a worker is.

    Parameters:
        trouble: why it does no work; nothing where it does.
        running: jobs that run.
        idle_for: seconds since the supervisor took a step.
    """

    worker: str
    trouble: str
    running: int
    lanes: tuple[LaneRecord, ...]
    idle_for: float


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], report: Callable[[], Report]) -> None:
        self.report = report
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Who asks and hangs up is no business of the worker's log."""


class _Handler(BaseHTTPRequestHandler):
    timeout = _PATIENCE
    server: _Server

    def do_GET(self) -> None:
        """Answer, with 503 where the answer is no."""
        path = self.path.partition("?")[0]
        report = self.server.report()
        live = report.idle_for < LIVE_SECONDS
        ready = live and not report.trouble
        match path:
            case "/live":
                self._say(live, "live" if live else f"the supervisor has taken no step for {report.idle_for:.0f} s")
            case "/ready":
                self._say(ready, "ready" if ready else f"not ready: {report.trouble or 'it does not live'}")
            case "/health":
                self._answer(_status(ready), "application/json", _encode(report, live=live, ready=ready))
            case _:
                self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"ask for /live, /ready or /health\n")

    def do_HEAD(self) -> None:
        """The same, without the body."""
        self.do_GET()

    def _say(self, well: bool, line: str) -> None:
        self._answer(_status(well), "text/plain", f"{line}\n".encode())

    def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def version_string(self) -> str:
        """Name no versions."""
        return "penstock"

    def log_message(self, format: str, *args: Any) -> None:
        """Questions every few seconds would fill the log."""


@contextmanager
def probe(host: str, port: int, report: Callable[[], Report]) -> Iterator[int]:
    """Answer GET /live, /ready and /health while the context is open; gives the port.

    Parameters:
        port: 0 is any that is free.
        report: asked from other threads, for each answer.

    Raises:
        ConfigError: nobody can listen there.
    """
    try:
        server = _Server((host, port), report)
    except (OSError, OverflowError) as error:
        raise ConfigError(f"the probe can't listen at {host}:{port}: {error}; say another --probe PORT") from None
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="penstock-probe", daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join(1.0)


def _status(well: bool) -> HTTPStatus:
    return HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE


def _encode(report: Report, **more: bool) -> bytes:
    return msgspec.json.encode({**more, **msgspec.structs.asdict(report)}) + b"\n"
