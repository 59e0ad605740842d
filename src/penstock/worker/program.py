"""What a worker's processes run, and how one is started: as a fork while its supervisor is nothing yet, else as a fresh interpreter."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import NoReturn

import msgspec

#: Patches the standard library before Penstock is imported; so it is run by its path, and not as a part of it.
_BOOT = os.path.join(os.path.dirname(os.path.dirname(__file__)), "cli", "boot.py")
_THREADS = "/proc/self/task"
_DESCRIPTORS = "/proc/self/fd"


class Given(msgspec.Struct, frozen=True):
    """What a process is given that the supervisor's other processes are not.

    Parameters:
        descriptors: that stay open in it, besides the first three.
        environment: variables, besides the supervisor's own.
        stderr: where its standard error leads; to the supervisor's own where there is none.
        stdin: is it given standard input? Else there is nothing to read from it.
    """

    descriptors: Collection[int]
    environment: Mapping[str, str]
    stderr: int | None = None
    stdin: bool = False


class Program(msgspec.Struct, frozen=True):
    """A program that takes its orders as its one argument.

    Parameters:
        module: run as `python -m MODULE ORDERS`.
        main: the same as a function of the orders; for a supervisor whose process has loaded Penstock and nothing else,
            so that a fork of it is no more than that (docs/adr/0024-fork.md). None where the process is somebody else's.
    """

    module: str
    main: Callable[[str], int] | None = None

    def start(self, orders: str, pool: str, given: Given) -> int:
        """Start a process in a group of its own; returns its id, by which it has to be waited for.

        Raises:
            OSError: the system has no room for another process.
        """
        if pool == "gevent":
            # It patches the standard library, which has to be done before anything else is loaded.
            return _execute([_BOOT, self.module], orders, given)
        if self.main is not None and _is_alone():
            return _fork(self.main, orders, given)
        return _execute(["-m", self.module], orders, given)


def _execute(program: Sequence[str], orders: str, given: Given) -> int:
    process = subprocess.Popen(
        [sys.executable, *program, orders],
        pass_fds=given.descriptors,
        stdin=None if given.stdin else subprocess.DEVNULL,
        stderr=given.stderr,
        env={**os.environ, **given.environment},
        process_group=0,
    )
    # It would collect the process itself, at some time or other.
    process.returncode = 0
    return process.pid


def _is_alone() -> bool:
    """Has this process no thread but this one? Where nothing tells, it may have others. A fork would have none of them, and the locks that they hold."""
    try:
        return len(os.listdir(_THREADS)) == 1
    except OSError:
        return False


def _fork(main: Callable[[str], int], orders: str, given: Given) -> int:
    """A copy of this process that goes on in `main`."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):
            stream.flush()  # else both would write what waits in it
    # What the collector never looks at is written to by nobody, and so stays shared.
    gc.collect()
    gc.freeze()
    # A signal that came before the copy has let go of its handlers would be the supervisor's.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            _become(main, orders, given, before)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    with suppress(OSError):
        os.setpgid(pid, pid)  # as the copy does too: whoever comes first, it is done when either goes on
    return pid


def _become(
    main: Callable[[str], int], orders: str, given: Given, signals: Collection[signal.Signals | int]
) -> NoReturn:
    """In the copy: let go of all that is the supervisor's, and be the program. Never returns: what called it is the supervisor's, too."""
    status = 1
    try:
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        for number in signal.valid_signals():
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, signals)
        _let_go(given)
        os.environ.update(given.environment)
        del sys.argv[1:]
        status = main(orders)
    except SystemExit as error:
        status = _status(error)
    except BaseException:  # noqa: BLE001 - as the end of a program of its own would be told
        sys.excepthook(*sys.exc_info())
    finally:
        leave(status)


def _let_go(given: Given) -> None:
    if given.stderr is not None:
        os.dup2(given.stderr, 2)
    if not given.stdin:
        empty = os.open(os.devnull, os.O_RDONLY)
        os.dup2(empty, 0)
        os.close(empty)
    for descriptor in map(int, os.listdir(_DESCRIPTORS)):
        with suppress(OSError):
            # Where the supervisor was started without one of the first three, what it opened has that number.
            if descriptor not in given.descriptors and not (descriptor < 3 and os.get_inheritable(descriptor)):
                os.close(descriptor)


def _status(error: SystemExit) -> int:
    if error.code is None or isinstance(error.code, int):
        return error.code or 0
    sys.stderr.write(f"{error.code}\n")
    return 1


def leave(status: int) -> NoReturn:
    """End this process at once: a task's own threads must not keep one that has handed everything in."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):
            stream.flush()
    os._exit(status)
