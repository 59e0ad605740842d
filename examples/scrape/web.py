"""As much of an HTTP/1.1 server as the site and the bucket need: one process, and thousands of connections that stay open.

It serves this example and nothing else: it believes what it is sent.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import NamedTuple, cast

try:
    import uvloop as loops
except ImportError:
    loops = asyncio

_BACKLOG = 4096


class Answer(NamedTuple):
    """What a request gets: after `delay` seconds."""

    status: str = "200 OK"
    body: bytes = b""
    headers: str = ""
    delay: float = 0.0


#: Answers a method, a path and a body.
Handle = Callable[[str, str, bytes], Answer]


class Connection(asyncio.Protocol):
    """One client, who asks and is answered in turn."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._heard = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody is there."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none, but does the same

    def connection_lost(self, error: Exception | None) -> None:
        """Nobody is there any more; an answer that is still to come goes nowhere."""
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """A piece of a request, or several requests."""
        self._heard += data
        while (end := self._heard.find(b"\r\n\r\n")) >= 0:
            head = self._heard[:end].decode("latin-1").split("\r\n")
            length = next((int(line[15:]) for line in head if line[:15].lower() == "content-length:"), 0)
            if len(self._heard) < end + 4 + length:
                return
            body = bytes(self._heard[end + 4 : end + 4 + length])
            del self._heard[: end + 4 + length]
            method, path, _ = head[0].split(" ", 2)
            answer = self._handle(method, path, body)
            if answer.delay:
                asyncio.get_running_loop().call_later(answer.delay, self._answer, answer, method)
            else:
                self._answer(answer, method)

    def _answer(self, answer: Answer, method: str) -> None:
        if self._transport is not None:
            head = f"HTTP/1.1 {answer.status}\r\nContent-Length: {len(answer.body)}\r\n{answer.headers}\r\n"
            self._transport.write(head.encode("latin-1") + (b"" if method == "HEAD" else answer.body))


def serve(handle: Handle) -> None:
    """Serve at the port of 127.0.0.1 that the command line names, until the process that started this one ends it."""

    async def forever() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Connection(handle), "127.0.0.1", int(sys.argv[1]), backlog=_BACKLOG)
        async with server:
            await server.serve_forever()

    loops.run(forever())
