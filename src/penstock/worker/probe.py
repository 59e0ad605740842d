"""What a worker answers over HTTP: whether it lives and works, to an orchestrator or a load balancer, and what it has counted."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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


@contextmanager
def serving(host: str, port: int, pages: Mapping[str, Page], flag: str) -> Iterator[int]:
    """Answer GET for some pages while the context is open; gives the port.

    Parameters:
        port: 0 is any that is free.
        pages: by their paths.
        flag: that the address was given by, for the error.

    Raises:
        ConfigError: nobody can listen there.
    """
    try:
        server = _Server((host, port), pages)
    except (OSError, OverflowError) as error:
        noun = flag.lstrip("-").partition("-")[0]
        raise ConfigError(f"the {noun} can't listen at {host}:{port}: {error}; say another {flag} PORT") from None
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="penstock-probe", daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join(1.0)


@contextmanager
def probe(host: str, port: int, report: Callable[[], Report]) -> Iterator[int]:
    """Answer GET /live, /ready and /health while the context is open; gives the port. See `serving`."""
    with serving(host, port, health_pages(report), "--probe") as found:
        yield found


def _lives(report: Report) -> bool:
    return report.idle_for < LIVE_SECONDS


def _said(well: bool, line: str) -> tuple[HTTPStatus, str, bytes]:
    return _status(well), _TEXT, f"{line}\n".encode()


def _status(well: bool) -> HTTPStatus:
    return HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE


def _encode(report: Report, **more: bool) -> bytes:
    return msgspec.json.encode({**more, **msgspec.structs.asdict(report)}) + b"\n"
