"""The socket between a supervisor and one of its processes."""

import socket
from collections.abc import Iterator

import msgspec
import pytest

from penstock.worker import link as message
from penstock.worker.link import Hello, Link


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, Link]]:
    ours, theirs = socket.socketpair()
    link = Link(theirs.detach())
    with ours:
        yield ours, link
    link._socket.close()


def test_hello_is_one_line_of_json(ends: tuple[socket.socket, Link]) -> None:
    ours, link = ends
    hello = Hello("sqlite:///jobs.db", ("default",), ("app.task",))
    link.hello(hello)
    line = ours.recv(1000)
    assert line.endswith(b"\n")
    assert msgspec.json.decode(line, type=Hello) == hello


def test_a_stop_right_behind_the_word_to_go_is_a_command_of_its_own(ends: tuple[socket.socket, Link]) -> None:
    ours, link = ends
    ours.sendall(message.GO + message.STOP)
    assert [link.receive(), link.receive()] == [message.GO, message.STOP]


def test_what_the_process_says(ends: tuple[socket.socket, Link]) -> None:
    ours, link = ends
    link.send(message.IDLE)
    link.send(message.MORE)
    assert ours.recv(10) == message.IDLE + message.MORE


def test_a_supervisor_that_is_gone(ends: tuple[socket.socket, Link]) -> None:
    ours, link = ends
    ours.close()
    assert link.receive() == b""
    link.send(message.IDLE)
