"""The app of persist-queue, and its worker, which it leaves to its user: `python -m benchmarks.peers.apps.persist_queue`."""

from __future__ import annotations

import os
import signal
import sys
import time

from persistqueue import Empty, SQLiteAckQueue

from benchmarks.peers import slots

queue = SQLiteAckQueue(os.environ["PENSTOCK_PEERS_URL"].removeprefix("sqlite:///") + "-persist", auto_commit=True)


def one(number: int) -> None:
    """Enqueue one."""
    queue.put(number)


def main() -> None:
    """Take, run and acknowledge, one after another; `get` does not wake up for what another process puts in."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    done = 0
    while True:
        try:
            item = queue.get(block=False, raw=True)
        except Empty:
            time.sleep(0.01)
            continue
        slots.mark(item["data"])
        queue.ack(id=item["pqid"])
        done += 1
        if done % 1000 == 0:
            queue.clear_acked_data(max_delete=1000, keep_latest=0)


if __name__ == "__main__":
    main()
