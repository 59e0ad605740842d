"""Sets the clock of one program wrong: on its PYTHONPATH, with the seconds in $NODE_CLOCK. Monotonic time goes on as it is."""

import datetime as dt
import os
import time

_SECONDS = float(os.environ.get("NODE_CLOCK", "0"))


class _Kind(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _RIGHT)


_RIGHT = dt.datetime


class _Wrong(_RIGHT, metaclass=_Kind):
    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:
        return _RIGHT.now(tz) + dt.timedelta(seconds=_SECONDS)

    @classmethod
    def utcnow(cls) -> dt.datetime:
        return _RIGHT.now(dt.UTC).replace(tzinfo=None) + dt.timedelta(seconds=_SECONDS)


if _SECONDS:
    right, right_ns = time.time, time.time_ns
    time.time = lambda: right() + _SECONDS
    time.time_ns = lambda: right_ns() + int(_SECONDS * 1e9)
    dt.datetime = _Wrong
