"""A worker of a trial: `python -m penstock.cli.chaos_worker PROCESSES PARENT`, with the URL on its standard input, where no list of processes shows it."""

from __future__ import annotations

import signal
import sys

from penstock.chaos.app import QUEUE
from penstock.cli.parent import die_with
from penstock.cli.process import program
from penstock.events.emit import Emitter
from penstock.events.log import configure, log_events
from penstock.worker.lane import Lane
from penstock.worker.supervisor import Supervisor


def main() -> int:
    """Work until a signal comes, or until the trial is gone; returns the exit status."""
    die_with(int(sys.argv[2]), signal.SIGTERM)
    url = sys.stdin.readline().strip()
    lane = Lane("penstock.chaos.app:make", int(sys.argv[1]), queues=(QUEUE,), arguments={"url": url}, quiet=True)
    configure(verbose=False)
    emitter = Emitter()
    log_events(emitter)
    return Supervisor(program(), [lane], emitter).run()


if __name__ == "__main__":
    sys.exit(main())
