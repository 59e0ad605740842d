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


def judge_shipments(count: int) -> Check:
    """Are there jobs that have left for another store, and have not arrived?"""
    if not count:
        return Check("shipments", "none on their way")
    return Check(
        "shipments", f"{count:,} on their way: jobs that have left and not arrived", Grade.WARN,
        "where no penstock move runs, run the last one again: it goes on",
    )  # fmt: skip


#: Seconds by which two clocks may differ unnoticed.
_STEP = 2.0


def judge_schema(found: Schema, name: str = "tables") -> Check:
    """Are the tables those that this version of Penstock writes?"""
    if found.installed is None:
        return Check(name, "none", Grade.FAIL, "run penstock install, or start a worker")
    shown = f"schema {found.installed}"
    if found.installed < found.known:
        return Check(name, shown, Grade.WARN, f"run penstock upgrade for schema {found.known}")
    if found.installed > found.known:
        return Check(name, shown, Grade.WARN, f"this Penstock knows schema {found.known}: upgrade it")
    return Check(name, shown)


def judge_clock(ahead: float) -> Check:
    """Is the server's clock that many seconds ahead of this machine's a reason to worry?"""
    if abs(ahead) < _STEP:
        return Check("clock", f"within {_STEP:g} s of this machine's")
    side = "ahead of" if ahead > 0 else "behind"
    return Check(
        "clock", f"{abs(ahead):,.0f} s {side} this machine's", Grade.WARN,
        "jobs go by the server's clock, so at= may be early or late by as much: synchronise the clocks",
    )  # fmt: skip
