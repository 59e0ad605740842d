"""A worker as a program of its own: `python chaos_worker.py URL LOG JSON`, where JSON has fields of `Lane` and more.

It notes each process that dies, with how many jobs that ran; of one that ran none it says to standard error how. `dead_after` is
for how many seconds a worker has to be silent until it is taken for dead.
"""

import json
import os
import sys
import time

from penstock.cli.process import program
from penstock.events.emit import Emitter, Event, ProcessDied
from penstock.worker import upkeep
from penstock.worker.lane import Lane
from penstock.worker.supervisor import Supervisor


def main() -> int:
    url, log, wanted = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    emitter = Emitter()

    def note_death(event: Event) -> None:
        assert isinstance(event, ProcessDied)
        os.write(descriptor, f"died {len(event.crashed)} {event.pid} {time.monotonic():.6f} 0 0\n".encode())
        if not event.crashed:
            print(f"process {event.pid} {event.how} while it ran nothing: {event.words}", file=sys.stderr, flush=True)

    emitter.subscribe(ProcessDied, note_death)
    if "dead_after" in wanted:
        upkeep.DEAD_AFTER = wanted.pop("dead_after")
        upkeep.BEAT = upkeep.DEAD_AFTER / 6
    options = {name: wanted.pop(name) for name in ("burst", "grace") if name in wanted}
    lane = Lane("chaos_app:make", arguments={"url": url, "log": log}, quiet=True, **wanted)
    return Supervisor(program(), [lane], emitter, **options).run()


if __name__ == "__main__":
    sys.exit(main())
