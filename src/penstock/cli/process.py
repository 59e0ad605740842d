"""A worker process's own program: `python -m penstock.cli.process ORDERS`, or `main` in a fork of the supervisor."""

from __future__ import annotations

import math
import os
import random
import signal
import sys
import threading
import time
from contextlib import suppress
from functools import partial

import msgspec

from penstock import settings
from penstock.app import Penstock, load_app
from penstock.brokers import connect, load_broker
from penstock.brokers.base import Broker
from penstock.cli.parent import die_with
from penstock.core.decide import Terms
from penstock.core.job import Holder
from penstock.errors import PenstockError, StoreUnavailable
from penstock.events.emit import Emitter, StoreBack, StoreTrouble
from penstock.events.log import configure, log_events
from penstock.worker import link as message
from penstock.worker.board import Board
from penstock.worker.context import note_progress, written_by
from penstock.worker.lane import ARGUMENTS, Orders
from penstock.worker.last_words import keep_last_words
from penstock.worker.link import Hello, Link
from penstock.worker.process import Process
from penstock.worker.program import Program, leave

#: Seconds for which a thread may keep the GIL from another. The relief and link threads ask for it rarely but want it
#: soon; the default of 5 ms would make each of their database calls wait that long behind a busy task.
_SWITCH_INTERVAL = 0.001
_LONGEST_PAUSE = 5.0
#: Seconds for which a worker's first process tries to reach the store: a connection may be cut, but where there is no store, that is an
#: error, and said soon.
_FIRST_SECONDS = 1.0


def program() -> Program:
    """For a supervisor that has its own process to itself: what a process needs is loaded here, once for all that are forked."""
    with suppress(PenstockError):
        # The app may name another; the first process says which.
        load_broker(settings.load().url)
    return Program("penstock.cli.process", main)


def main(given: str) -> int:
    """Boot, say hello, work; returns an exit status.

    Parameters:
        given: `Orders`, as JSON.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    orders = msgspec.json.decode(given, type=Orders)
    die_with(os.getppid())
    if not orders.lane.quiet:
        configure(orders.verbose)
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    emitter = Emitter()
    if not orders.lane.quiet:
        log_events(emitter)
    try:
        app = load_app(orders.lane.target, _arguments())
        broker = connect(app.settings.url)
        _open(broker, app, emitter, orders.patient)
    except PenstockError as error:
        print(f"penstock: {error}", file=sys.stderr)
        return 2
    link = Link(orders.link)
    board = Board(orders.board, orders.lane.slots)
    keep_last_words(board, orders.stderr)
    board.limited = partial(link.send, message.LIMITED)
    queues = orders.lane.takes(app.queues)
    terms = {name: msgspec.convert(task.policy, Terms, from_attributes=True) for name, task in app.tasks.items()}
    link.hello(Hello(app.settings.url, queues, tuple(app.tasks), terms))
    if not link.receive():
        return 1
    sys.setswitchinterval(_SWITCH_INTERVAL)
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
        usable=orders.slots,
        max_jobs=orders.lane.max_jobs_per_process,
    )
    # In a thread of its own: the main thread, which handles signals, may hold the very locks that stopping takes.
    signal.signal(signal.SIGTERM, lambda number, frame: threading.Thread(target=process.stop).start())
    with written_by(process.scribe):
        process.run()
    process.scribe.close()
    broker.close()
    return 0


def _arguments() -> dict[str, str] | None:
    """Of the function that makes the app; what the process starts itself is not told."""
    return msgspec.json.decode(os.environ.pop(ARGUMENTS, "null"), type=dict[str, str] | None)


def _open(broker: Broker, app: Penstock, emitter: Emitter, patient: bool) -> None:
    """Open the store, and tell it of the app's limits, subscriptions and schedules; a store that was there before is waited for, and told of once."""
    given_up_at = math.inf if patient else time.monotonic() + _FIRST_SECONDS
    pause = 0.0
    while True:
        try:
            broker.open()
            broker.declare(app.limits)
            if not patient:
                # With the worker, and not with each process that is replaced: whoever unsubscribes meanwhile is right.
                app.register(broker)
                app.declare_schedules(broker)
        except StoreUnavailable as error:
            if time.monotonic() >= given_up_at:
                raise
            if not pause and patient:
                emitter.emit(StoreTrouble(str(error)))
            pause = min(_LONGEST_PAUSE, max(0.2, pause * 2))
            time.sleep(pause * random.uniform(0.5, 1.0))
        else:
            if pause and patient:
                emitter.emit(StoreBack())
            return


if __name__ == "__main__":
    leave(main(sys.argv.pop()))
