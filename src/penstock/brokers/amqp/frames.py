"""Messages as the bytes of AMQP 0-9-1. Pure.

The client makes three objects of each message, and a call of the system for each of its three parts. Here the messages that go together are
one piece of bytes, or few.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from struct import Struct
from typing import Any, NamedTuple

#: Bytes of a piece, about: less than a socket takes at once, since the client copies what is left over.
_PIECE = 1 << 16
_METHOD, _HEADER, _BODY, _END = 1, 2, 3, b"\xce"
#: The kind of a frame, its channel, and how many bytes it has.
_frame = Struct(">BHI").pack
#: The class and number of `Basic.Publish`, and a ticket that no server reads any more.
_PUBLISH = b"\x00\x3c\x00\x28\x00\x00"
#: The class of its properties, a weight that is always 0, and how many bytes the body has.
_content = Struct(">HHQ").pack
_BASIC = 60


class Post(NamedTuple):
    """A message on its way: which exchange it goes to, by which key, what it says, what is told of it (as bytes), and whether it comes back where no
    queue takes it.
    """

    exchange: str
    key: str
    body: bytes
    properties: bytes
    mandatory: bool = True


def encoded(properties: Any) -> bytes:
    """The client's properties as bytes."""
    return b"".join(properties.encode())


def pieces(posts: Iterable[Post], channel: int, longest: int) -> Iterator[bytes]:
    """What is sent of messages, in their order.

    Parameters:
        channel: its number.
        longest: bytes that a frame of a body may have.

    Raises:
        ValueError: the name of an exchange, or a key, has more than 255 bytes.
    """
    parts: list[bytes] = []
    size = 0
    for exchange, key, body, properties, mandatory in posts:
        method = b"".join((_PUBLISH, _short(exchange), _short(key), b"\1" if mandatory else b"\0"))
        header = _content(_BASIC, 0, len(body)) + properties
        parts += (
            _frame(_METHOD, channel, len(method)), method, _END,
            _frame(_HEADER, channel, len(header)), header, _END,
        )  # fmt: skip
        size += len(method) + len(header)
        for start in range(0, len(body), longest):
            part = body[start : start + longest]
            parts += _frame(_BODY, channel, len(part)), part, _END
            size += len(part)
            if size >= _PIECE:
                yield b"".join(parts)
                parts, size = [], 0
    if parts:
        yield b"".join(parts)


def _short(text: str) -> bytes:
    data = text.encode()
    if len(data) > 255:
        raise ValueError(f"{text!r} has more than 255 bytes")
    return bytes((len(data),)) + data
