"""Payloads with a signature before them, for whoever looks into one and has no key."""

from __future__ import annotations

from penstock.core.handing import MARK

#: How no msgpack and no JSON begins.
SEAL = b"\xc1"
#: Bytes of a seal: that one, the scope of the signature, the length of what was signed, and the signature.
LENGTH, SIGNATURE = 4, 32
SIZE = 2 + LENGTH + SIGNATURE
#: What is said of one where no key is known.
NO_KEY = "it is signed, and no key is known here to check it by: give this worker the PENSTOCK_SIGNING_KEYS of whoever sent it, then retry it"


def start_of(payload: bytes) -> int | None:
    """Where the seal of a payload is; None where it has none.

    What takes results begins with the mark of such payloads all the same, by which the stores know that results are to be added to its end.
    """
    if payload[:1] == SEAL:
        return 0
    return 1 if payload[:2] == MARK + SEAL else None


def unsealed(payload: bytes) -> bytes:
    """A payload without its signature, which is not looked at."""
    start = start_of(payload)
    return payload if start is None else payload[start + SIZE :]


def unread(payload: bytes, why: str) -> str:
    """Why a payload could not be decoded: for its signature, or as given."""
    return why if start_of(payload) is None else NO_KEY
