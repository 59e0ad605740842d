"""The servers that the examples call, on this machine."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import uvicorn
from aiosmtpd.controller import Controller
from fastapi import FastAPI


class Handler(BaseHTTPRequestHandler):
    """Answers HTTP, and prints nothing."""

    def called(self) -> tuple[int, str]:
        """The status and the text of the answer to `self.path`."""
        raise NotImplementedError

    def do_GET(self) -> None:
        """Answer."""
        code, text = self.called()
        self.send_response(code)
        self.send_header("Retry-After", "0.1")
        self.end_headers()
        self.wfile.write(text.encode())

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def http(handler: type[Handler]) -> Iterator[int]:
    """An HTTP server; gives its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()


@contextmanager
def smtp(handler: Any) -> Iterator[int]:
    """A mail server; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    controller = Controller(handler, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


@contextmanager
def website(web: FastAPI) -> Iterator[str]:
    """A web server; gives its address."""
    server = uvicorn.Server(uvicorn.Config(web, port=0, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
