"""What a worker answers over HTTP: whether it lives and works, to an orchestrator or a load balancer, and what it has counted."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec

from penstock.errors import ConfigError
from penstock.worker.report import Report

#: Seconds without a step of the supervisor after which it does not live any more.
LIVE_SECONDS = 15.0
_PATIENCE = 5.0
_TEXT = "text/plain; charset=utf-8"


#: Answers a GET whose Accept header it is given: with a status, a type and a body.
Page = Callable[[str], tuple[HTTPStatus, str, bytes]]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], pages: Mapping[str, Page]) -> None:
        self.pages = pages
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Who asks and hangs up is no business of the worker's log."""


class _Handler(BaseHTTPRequestHandler):
    timeout = _PATIENCE
    server: _Server

    def do_GET(self) -> None:
        """Answer, with 503 where the answer is no."""
        pages = self.server.pages
        page = pages.get(self.path.partition("?")[0])
        if page is None:
            *most, last = pages
            known = f"{', '.join(most)} or {last}" if most else last
            self._answer(HTTPStatus.NOT_FOUND, _TEXT, f"ask for {known}\n".encode())
        else:
            self._answer(*page(self.headers.get("Accept", "")))

    def do_HEAD(self) -> None:
        """The same, without the body."""
        self.do_GET()

    def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
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


def health_pages(report: Callable[[], Report]) -> dict[str, Page]:
    """The pages /live, /ready and /health; `report` is asked for each answer, from other threads."""

    def live(accept: str) -> tuple[HTTPStatus, str, bytes]:
        told = report()
        why = f"the supervisor has taken no step for {told.idle_for:.0f} s"
        return _said(_lives(told), "live" if _lives(told) else why)

    def ready(accept: str) -> tuple[HTTPStatus, str, bytes]:
        told = report()
        well = _lives(told) and not told.trouble
        return _said(well, "ready" if well else f"not ready: {told.trouble or 'it does not live'}")

    def health(accept: str) -> tuple[HTTPStatus, str, bytes]:
        told = report()
        well = _lives(told) and not told.trouble
        return _status(well), "application/json; charset=utf-8", _encode(told, live=_lives(told), ready=well)

    return {"/live": live, "/ready": ready, "/health": health}


def metrics_pages(page: Callable[[str], tuple[str, bytes]]) -> dict[str, Page]:
    """The page /metrics; `page` is given the Accept header, and makes the type and the text."""

    def metrics(accept: str) -> tuple[HTTPStatus, str, bytes]:
        return HTTPStatus.OK, *page(accept)

    return {"/metrics": metrics}


class Endpoint:
    """Answers GET for some pages at an address.

    Its thread starts when somebody asks for the first time: as long as a worker has none, it can fork its processes.

    Parameters:
        port: 0 is any that is free.
        pages: by their paths.
        flag: that the address was given by, for the error.

    Raises:
        ConfigError: nobody can listen there.
    """

    def __init__(self, host: str, port: int, pages: Mapping[str, Page], flag: str) -> None:
        try:
            self._server = _Server((host, port), pages)
        except (OSError, OverflowError) as error:
            noun = flag.lstrip("-").partition("-")[0]
            raise ConfigError(f"the {noun} can't listen at {host}:{port}: {error}; say another {flag} PORT") from None
        self.port = int(self._server.server_address[1])
        self._thread: threading.Thread | None = None

    def look(self) -> None:
        """Start if somebody asks. Whoever does has been waiting since the last look."""
        if self._thread is None and select.select([self._server], [], [], 0)[0]:
            self.start()

    def start(self) -> None:
        """Answer from now on, in a thread."""
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="penstock-probe", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Listen no more."""
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join(1.0)
        self._server.server_close()


def _lives(report: Report) -> bool:
    return report.idle_for < LIVE_SECONDS


def _said(well: bool, line: str) -> tuple[HTTPStatus, str, bytes]:
    return _status(well), _TEXT, f"{line}\n".encode()


def _status(well: bool) -> HTTPStatus:
    return HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE


def _encode(report: Report, **more: bool) -> bytes:
    return msgspec.json.encode({**more, **msgspec.structs.asdict(report)}) + b"\n"
