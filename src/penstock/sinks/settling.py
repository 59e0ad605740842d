"""Ending what a batch came from in the transaction of its rows."""

from __future__ import annotations

from collections.abc import Callable

from penstock.sinks.base import End, Written


class Stale(Exception):
    """What the batch came from has another holder now: nothing of it is to be written."""


def settling(end: End) -> Callable[[object, Written], None]:
    """What a transaction calls last: ends what its rows came from, or raises `Stale`, which undoes all of it."""

    def settle(transaction: object, written: Written) -> None:
        if not end(transaction, written):
            raise Stale

    return settle
