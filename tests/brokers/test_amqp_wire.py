"""What goes over a channel: messages, and a ring for them."""

import math
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from penstock.brokers.amqp import wire as source
from penstock.brokers.amqp.frames import Post
from penstock.brokers.amqp.link import Link
from penstock.brokers.amqp.url import parse
from penstock.brokers.amqp.wire import JOB, Ring, Wire
from penstock.testing.contract.harness import PATIENCE


@pytest.fixture
def wire(rabbit_url: str) -> Iterator[Wire]:
    wires: list[Wire] = []
    link = Link(parse(rabbit_url), lambda: wires.append(Wire(link, link.gave_up)), lambda: None)
    with closing(link):
        link.open()
        with link.held():
            yield wires[-1]


@pytest.fixture
def queue(channel: Any) -> str:
    """Hears what is said at `amq.fanout`."""
    name: str = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(name, "amq.fanout")
    return name


@pytest.mark.parametrize(
    ("soon", "heard"), [pytest.param(math.inf, [b"new"], id="soon"), pytest.param(0.0, [b"new", b"new"], id="late")]
)
def test_a_ring_goes_with_messages_and_again_where_they_were_safe_late(
    wire: Wire, channel: Any, queue: str, monkeypatch: pytest.MonkeyPatch, soon: float, heard: list[bytes]
) -> None:
    monkeypatch.setattr(source, "_SOON", soon)
    wire.publish([Post("", queue, b"job", JOB)] * 3, Ring("amq.fanout", b"new"))
    wire.ring(Ring("amq.fanout", b"last"))
    words = _until(channel, queue, b"last")
    assert [word for word in words if word != b"job"] == [*heard, b"last"]
    assert words.count(b"job") == 3


@pytest.mark.parametrize(
    ("shared", "soon", "heard"),
    [
        pytest.param(math.inf, math.inf, 1, id="soon"),
        pytest.param(math.inf, 0.0, 4, id="late"),
        pytest.param(0.0, math.inf, 3, id="apart"),
    ],
)
def test_messages_right_behind_one_another_share_a_ring(
    wire: Wire, channel: Any, queue: str, monkeypatch: pytest.MonkeyPatch, shared: float, soon: float, heard: int
) -> None:
    monkeypatch.setattr(source, "_SHARED", shared)
    monkeypatch.setattr(source, "_SOON", soon)
    for _ in range(3):
        wire.publish([Post("", queue, b"job", JOB)], Ring("amq.fanout", b"new"))
    wire.publish([Post("", queue, b"job", JOB)], Ring("amq.fanout", b"other"))
    wire.ring(Ring("amq.fanout", b"last"))
    words = _until(channel, queue, b"last")
    assert words.count(b"new") == heard
    assert words.count(b"other") == 1 + (not soon)
    assert words.count(b"job") == 4


def test_messages_of_which_the_system_takes_a_part_arrive_whole_and_in_their_order(
    wire: Wire, channel: Any, queue: str
) -> None:
    # A server that reads as fast as it is written to would be given each frame whole.
    wire._link._connection._transport._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
    bodies = [bytes([number]) * size for number, size in enumerate((1, 12 << 20, 300_000, 5, 12 << 20, 1), 1)]
    wire.publish([Post("", queue, body, JOB) for body in bodies[:3]])
    wire.publish([Post("", queue, body, JOB) for body in bodies[3:]])
    came = _until(channel, queue, bodies[-1])
    assert [len(body) for body in came] == [len(body) for body in bodies]
    assert came == bodies


def test_a_ring_is_heard_when_the_channel_it_goes_by_was_closed(wire: Wire, channel: Any, queue: str) -> None:
    wire.ring(Ring("amq.fanout", b"before"))
    assert _until(channel, queue, b"before") == [b"before"]
    # The server closes the channel of a word for a bell that is not there.
    wire.ring(Ring("no such bell"))
    assert wire._link.turn(lambda: not wire._aside.is_open, PATIENCE)
    wire.publish([Post("", queue, b"job", JOB)], Ring("amq.fanout", b"before"))
    assert b"before" in _until(channel, queue, b"before")


def _until(channel: Any, queue: str, last: bytes) -> list[bytes]:
    words: list[bytes] = []
    for _, _, body in channel.consume(queue, auto_ack=True, inactivity_timeout=PATIENCE):
        words.append(body)
        if body in (last, None):
            break
    return words
