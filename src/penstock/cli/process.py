"""A worker process's own program: `python -m penstock.cli.process ORDERS`, started by a supervisor."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from contextlib import suppress

import msgspec

from penstock.app import load_app
from penstock.brokers import connect
from penstock.core.job import Holder
from penstock.errors import PenstockError
from penstock.events.emit import Emitter
from penstock.events.log import configure, log_events
from penstock.worker.board import Board
from penstock.worker.child import Orders
from penstock.worker.context import note_progress
from penstock.worker.link import Hello, Link
from penstock.worker.process import Process

_PR_SET_PDEATHSIG = 1
#: Seconds for which a thread may keep the GIL from another. The relief and link threads ask for it rarely but want it
#: soon; the default of 5 ms would make each of their database calls wait that long behind a busy task.
_SWITCH_INTERVAL = 0.001


def main() -> int:
    """Boot, say hello, work."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    orders = msgspec.json.decode(sys.argv[1], type=Orders)
    _die_with(os.getppid())
    if not orders.lane.quiet:
        configure(orders.verbose)
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        app = load_app(orders.lane.target, orders.lane.arguments)
        broker = connect(app.settings.url)
        broker.open()
    except PenstockError as error:
        print(f"penstock: {error}", file=sys.stderr)
        return 2
    emitter = Emitter()
    if not orders.lane.quiet:
        log_events(emitter)
    link = Link(orders.link)
    queues = orders.lane.queues or app.queues
    link.hello(Hello(app.settings.url, queues, tuple(app.tasks)))
    if not link.receive():
        return 1
    sys.setswitchinterval(_SWITCH_INTERVAL)
    board = Board(orders.board, orders.lane.slots)
    note_progress(board.progress)
    process = Process(
        broker,
        Holder(orders.worker, orders.process),
        queues,
        app.runner(),
        orders.lane.pool,
        orders.lane.slots,
        board,
        link,
        emitter,
        burst=orders.burst,
        verbose=orders.verbose,
    )
    # In a thread of its own: the main thread, which handles signals, may hold the very locks that stopping takes.
    signal.signal(signal.SIGTERM, lambda number, frame: threading.Thread(target=process.stop).start())
    process.run()
    broker.close()
    return 0


def _die_with(parent: int) -> None:
    """Have the kernel end this process when its supervisor dies, even while C code holds the GIL. Linux only."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    # os._exit: a task's own threads must not keep a process that has handed everything in.
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
