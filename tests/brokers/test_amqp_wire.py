"""What goes over a channel: messages, and a ring for them."""

import math
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


@pytest.mark.parametrize(
    ("soon", "heard"), [pytest.param(math.inf, [b"new"], id="soon"), pytest.param(0.0, [b"new", b"new"], id="late")]
)
def test_a_ring_goes_with_messages_and_again_where_they_were_safe_late(
    wire: Wire, channel: Any, monkeypatch: pytest.MonkeyPatch, soon: float, heard: list[bytes]
) -> None:
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(queue, "amq.fanout")
    monkeypatch.setattr(source, "_SOON", soon)
    wire.publish([Post("", queue, b"job", JOB)] * 3, Ring("amq.fanout", b"new"))
    wire.ring(Ring("amq.fanout", b"last"))
    words = _until(channel, queue, b"last")
    assert [word for word in words if word != b"job"] == [*heard, b"last"]
    assert words.count(b"job") == 3


def _until(channel: Any, queue: str, last: bytes) -> list[bytes]:
    words: list[bytes] = []
    for _, _, body in channel.consume(queue, auto_ack=True, inactivity_timeout=PATIENCE):
        words.append(body)
        if body in (last, None):
            break
    return words
