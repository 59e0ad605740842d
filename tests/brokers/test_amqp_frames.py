"""Messages as bytes, held to what the client makes of them."""

from typing import Any

import pika
import pika.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.brokers.amqp.frames import Post, encoded, pieces

LONGEST = 100
texts = st.text(max_size=40)
properties = st.builds(
    pika.BasicProperties,
    delivery_mode=st.sampled_from([1, 2]),
    content_type=st.none() | texts,
    message_id=st.none() | texts,
    timestamp=st.none() | st.integers(0, 1 << 40),
)


def by_the_client(post: Post, told: pika.BasicProperties, channel: int) -> bytes:
    method = pika.spec.Basic.Publish(exchange=post.exchange, routing_key=post.key, mandatory=post.mandatory)
    frames: list[Any] = [pika.frame.Method(channel, method), pika.frame.Header(channel, len(post.body), told)]
    frames += [pika.frame.Body(channel, post.body[at : at + LONGEST]) for at in range(0, len(post.body), LONGEST)]
    return b"".join(frame.marshal() for frame in frames)


@given(
    st.lists(st.tuples(texts, texts, st.binary(max_size=250), properties, st.booleans()), max_size=4),
    st.integers(1, 65_535),
)
def test_they_are_what_the_client_makes(given: list[tuple[str, str, bytes, Any, bool]], channel: int) -> None:
    told = [each[3] for each in given]
    posts = [Post(exchange, key, body, encoded(own), asks) for exchange, key, body, own, asks in given]
    wanted = b"".join(by_the_client(post, own, channel) for post, own in zip(posts, told, strict=True))
    assert b"".join(pieces(posts, channel, LONGEST)) == wanted


def test_much_goes_in_pieces() -> None:
    properties = encoded(pika.BasicProperties(delivery_mode=2))
    posts = [Post("", "q", b"x" * size, properties) for size in (1, 1_000_000, 2, 100_000)]
    sent = list(pieces(posts, 1, 1 << 14))
    assert len(sent) > 10
    assert max(map(len, sent)) < 100_000
    assert b"".join(sent) == b"".join(pieces(posts[:2], 1, 1 << 14)) + b"".join(pieces(posts[2:], 1, 1 << 14))


def test_a_name_has_255_bytes_at_most() -> None:
    longest = "é" * 127
    assert longest.encode() in b"".join(pieces([Post(longest, longest, b"", b"\0\0")], 1, LONGEST))
    with pytest.raises(ValueError, match="more than 255 bytes"):
        list(pieces([Post("", f"{longest}éé", b"", b"\0\0")], 1, LONGEST))
