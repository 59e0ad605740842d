"""A worker of a trial: `python -m penstock.chaos.worker PROCESSES`, with the URL on its standard input, where no list of processes shows it."""

from __future__ import annotations

import sys

from penstock.chaos.app import QUEUE
from penstock.events.emit import Emitter
from penstock.events.log import configure, log_events
from penstock.worker.lane import Lane
from penstock.worker.supervisor import Supervisor

#: What each of its processes runs.
_PROGRAM = "penstock.cli.process"


def main() -> int:
    """Work until a signal comes; returns the exit status."""
    url = sys.stdin.readline().strip()
    lane = Lane("penstock.chaos.app:make", int(sys.argv[1]), queues=(QUEUE,), arguments={"url": url}, quiet=True)
    configure(verbose=False)
    emitter = Emitter()
    log_events(emitter)
    return Supervisor(_PROGRAM, [lane], emitter).run()


if __name__ == "__main__":
    sys.exit(main())
