"""A worker as a program of its own: `python chaos_worker.py URL LOG JSON`, where JSON has fields of `Lane` and more."""

import json
import os
import sys

from penstock.events.emit import Emitter, ProcessDied
from penstock.worker.lane import Lane
from penstock.worker.supervisor import Supervisor


def main() -> int:
    url, log, wanted = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    emitter = Emitter()
    emitter.subscribe(ProcessDied, lambda event: os.write(descriptor, f"died 0 {event.pid} 0 0 0\n".encode()) and None)
    options = {name: wanted.pop(name) for name in ("burst", "grace") if name in wanted}
    lane = Lane("chaos_app:make", arguments={"url": url, "log": log}, quiet=True, **wanted)
    return Supervisor("penstock.cli.process", [lane], emitter, **options).run()


if __name__ == "__main__":
    sys.exit(main())
