"""What a store is like, looked at from outside and changing nothing: for `penstock install` and `penstock doctor`."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Schema(msgspec.Struct, frozen=True):
    """The number of the last migration that a store has (None: no queue is there), and of the last that this version knows."""

    installed: int | None
    known: int


class Grade(StrEnum):
    """How good it is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Check(msgspec.Struct, frozen=True):
    """One thing that was looked at: what was found and, where it could be better, what to do."""

    name: str
    found: str
    grade: Grade = Grade.OK
    advice: str = ""
