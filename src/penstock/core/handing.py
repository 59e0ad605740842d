"""Results that are handed on: what a job carries that gets the results of others, before and after it gets them. Pure.

Such a payload is a msgpack map of three, and ends where the results go: who starts the job adds them to its end as bytes, and decodes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import msgspec

from penstock.core.job import Failure

#: Bytes of results that a job is handed, at most: with its own arguments they must go into one document of MongoDB, of 16 MiB.
MOST_HANDED = 8 << 20
#: Bytes that all jobs of a stage together are handed, at most: they are written in one transaction.
MOST_TOGETHER = 64 << 20
#: Shown in the place of a result that is not there yet.
AWAITED = "<result>"
#: A result of None.
NIL = b"\xc0"
#: What `Signature.decode` knows these payloads by.
MARK = b"\x83"

_encoder = msgspec.msgpack.Encoder()
_CALL, _SHAPE, _RESULTS = (_encoder.encode(word) for word in ("call", "shape", "results"))
#: Stands for the failure of a job that left none.
CANCELLED = _encoder.encode(Failure("Cancelled", "the job was cancelled"))


class Call(msgspec.Struct):
    """The arguments that a job has of its own; the results come before them."""

    args: list[Any]
    kwargs: dict[str, Any]


class _Handed(msgspec.Struct):
    call: Call
    shape: list[int]
    results: list[list[msgspec.Raw]]


_decoder = msgspec.msgpack.Decoder(_Handed)


def opened(args: Sequence[Any], kwargs: Mapping[str, Any], shape: Sequence[int]) -> bytes:
    """A payload without its results.

    Parameters:
        args, kwargs: the job's own arguments.
        shape: one number for each argument that is a result: 0 for the result of one job, or of how many stages the results
            make one list.
    """
    call = _encoder.encode(Call(list(args), dict(kwargs)))
    return b"".join((MARK, _CALL, call, _SHAPE, _encoder.encode(list(shape)), _RESULTS))


def takes_results(payload: bytes) -> bool:
    """Is it such a payload?"""
    return payload[:1] == MARK


def results(stages: Sequence[Sequence[bytes]]) -> bytes:
    """The end of a payload: encoded results, by the stages that they are of, in order."""
    parts = [_array(len(stages))]
    for values in stages:
        parts.append(_array(len(values)))
        parts += values
    return b"".join(parts)


def _array(length: int) -> bytes:
    return b"\xdd" + length.to_bytes(4, "big")


def read(payload: bytes) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of a payload that has its results, of which these are still encoded.

    Raises:
        ValueError: the results are not there, or the bytes are no such payload.
    """
    try:
        found = _decoder.decode(payload)
    except (msgspec.MsgspecError, RecursionError, OverflowError) as error:
        raise ValueError(f"it was to get results, and has not: {error}") from None
    stages = iter(found.results)
    given: list[Any] = []
    for count in found.shape:
        # By the stages that are there, however many a payload says there are.
        values = [value for stage in islice(stages, count or 1) for value in stage]
        if count:
            given.append(values)
        elif len(values) == 1:
            given.append(values[0])
        else:
            raise ValueError(f"it was to get one result, and got {len(values):,}")
    return [*given, *found.call.args], found.call.kwargs


def own(payload: bytes) -> list[Any]:
    """The arguments of a payload, in order, for showing them: results come first, or `AWAITED` in the place of each that is not there yet.

    Raises:
        ValueError: the bytes are no such payload.
    """
    try:
        args, kwargs = read(payload)
    except ValueError:
        try:
            found = _decoder.decode(payload + _array(0))
        except (msgspec.MsgspecError, RecursionError, OverflowError) as error:
            raise ValueError(str(error)) from None
        args, kwargs = [AWAITED] * len(found.shape) + found.call.args, found.call.kwargs
    return [msgspec.msgpack.decode(_encoder.encode(value)) for value in (*args, *kwargs.values())]
