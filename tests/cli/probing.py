"""Asking a worker over HTTP."""

from collections.abc import Callable
from http.client import HTTPConnection
from threading import Event
from typing import Any

SECONDS = 20


def ask(port: int, path: str) -> tuple[int, str]:
    """Status and text of an answer; 0 where nobody listens."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except ConnectionRefusedError:
        return 0, ""
    finally:
        connection.close()


def until(condition: Callable[[], Any], what: str) -> None:
    """Wait for what nothing announces."""
    pause = Event()
    for _ in range(SECONDS * 20):
        if condition():
            return
        pause.wait(0.05)
    raise AssertionError(f"not within {SECONDS} s: {what}")
