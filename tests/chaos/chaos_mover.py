"""A mover as a program of its own, with small shipments so that there is much to be killed in: `python chaos_mover.py SOURCE DESTINATION`.

It says to standard output when it has begun, and at its end how many jobs it moved.
"""

import signal
import sys
from contextlib import closing

from penstock.brokers import connect
from penstock.moving import Mover, Standing

AT_ONCE = 40


def main() -> int:
    with closing(connect(sys.argv[1])) as source, closing(connect(sys.argv[2])) as destination:
        source.open()
        destination.open()
        mover = Mover(source, destination, "the other store", at_once=AT_ONCE)
        signal.signal(signal.SIGTERM, lambda *_: mover.stop())
        began = False

        def show(standing: Standing) -> None:
            nonlocal began
            if not began:
                print("began", flush=True)
            began = True

        summary = mover.run(show)
        print(summary.moved, flush=True)
        return 0 if summary.complete else 1


if __name__ == "__main__":
    sys.exit(main())
