"""What a thread is doing, told by its stack: may an exception be raised there now?"""

from __future__ import annotations

import threading
from types import FrameType

from penstock.core.codec import Signature

_USER_CODE = Signature.call.__code__
#: What `threading` does with a lock in hand. Its waiting is made to be interrupted.
_HANDLING = frozenset({"__enter__", "__exit__", "acquire", "notify", "notify_all", "release", "set"})


def runs_user_code(frame: FrameType | None) -> bool:
    """Is a task's function somewhere on the stack?"""
    while frame is not None:
        if frame.f_code is _USER_CODE:
            return True
        frame = frame.f_back
    return False


def takes_a_lock(frame: FrameType | None) -> bool:
    """Is a lock just now being taken, or let go of? An exception could leave it taken for ever."""
    return frame is not None and frame.f_code.co_filename == threading.__file__ and frame.f_code.co_name in _HANDLING
