"""A wall clock that somebody sets: on the path of a program, `time.time()` is ahead by the seconds in the file that `CHAOS_CLOCK` names.

The monotonic clock is left alone, as it is where a machine's clock is set.
"""

import mmap
import os
import struct
import time

_SECONDS = struct.Struct("d")

if "CHAOS_CLOCK" in os.environ:
    with open(os.environ["CHAOS_CLOCK"], "rb") as _file:
        _ahead = mmap.mmap(_file.fileno(), _SECONDS.size, prot=mmap.PROT_READ)
    _time, _time_ns = time.time, time.time_ns
    time.time = lambda: _time() + _SECONDS.unpack_from(_ahead)[0]
    time.time_ns = lambda: _time_ns() + int(_SECONDS.unpack_from(_ahead)[0] * 1e9)
