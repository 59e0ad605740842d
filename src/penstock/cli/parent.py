"""Processes that end with the one that started them."""

from __future__ import annotations

import ctypes
import os
import signal
from contextlib import suppress

#: The environment variable that tells a worker whom it is to stop with.
RELOADER = "_PENSTOCK_RELOADER"
_PR_SET_PDEATHSIG = 1


def die_with(parent: int, by: signal.Signals = signal.SIGKILL) -> None:
    """Have the kernel signal this process when its parent dies, even while C code holds the GIL. Linux only.

    Parameters:
        parent: the parent's process id; where it is dead already, this process ends at once.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, by)
    if os.getppid() != parent:
        os._exit(1)
