"""Job ids: UUIDv7 (RFC 9562), made in runs that sort in the order they were made."""

from __future__ import annotations

from uuid import UUID

_VERSION_AND_VARIANT = (7 << 76) | (2 << 62)
_COUNTER_BITS = 30
_TAIL = (1 << 62) - 1


def uuid7(milliseconds: int, entropy: bytes) -> bytes:
    """Make one id; the parameters are those of `uuid7s`, and all but six of the random bits are in it."""
    random = int.from_bytes(entropy, "big")
    return ((milliseconds << 80) | _VERSION_AND_VARIANT | (random >> 68 << 64) | (random & _TAIL)).to_bytes(16, "big")


def uuid7s(count: int, milliseconds: int, entropy: bytes) -> list[bytes]:
    """Make `count` ids, ascending.

    Parameters:
        count: how many; less than 2**29.
        milliseconds: since the epoch.
        entropy: 10 random bytes. The low 30 bits start below 2**29 and count up through the run, as RFC 9562
            section 6.2 (method 1) allows; the 44 bits above them are random.
    """
    random = int.from_bytes(entropy, "big")
    tail = ((random >> _COUNTER_BITS) & ((1 << 32) - 1)) << _COUNTER_BITS
    start = random & ((1 << (_COUNTER_BITS - 1)) - 1)
    middle = ((random >> 62) & 0xFFF) << 64
    base = (milliseconds << 80) | _VERSION_AND_VARIANT | middle | tail
    return [(base + n).to_bytes(16, "big") for n in range(start, start + count)]


def made_at(id: bytes) -> float | None:
    """When an id was made, in epoch seconds by the clock of who made it; None where it is no UUIDv7."""
    return int.from_bytes(id[:6], "big") / 1000 if len(id) == 16 and id[6] >> 4 == 7 else None


def format_id(id: bytes) -> str:
    """The canonical text of an id."""
    return str(UUID(bytes=id))


def parse_id(text: str) -> bytes:
    """The 16 bytes of an id given as text; raises `ValueError` when it is none."""
    return UUID(text).bytes
