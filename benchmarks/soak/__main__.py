"""`python -m benchmarks.soak [--store NAME,NAME] [--hours H] [--jobs N] [--samples FILE] [--read FILE] [--write]`: a load that goes on and on, watched from outside."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.__main__ import machine
from benchmarks.places import ROOT, folder
from benchmarks.soak import page, samples
from benchmarks.soak.run import Run, SoakError, running
from benchmarks.soak.samples import Begun, Plan, Soak
from benchmarks.soak.stores import NAMES, store

#: Seconds without a start, when all is sent, after which what has not started is lost.
_PATIENCE = 60.0
_PAGE = ROOT / "docs" / "reference"


def main() -> int:
    """Enqueue at an even rate and run, on all stores at once; exit with 1 where a job was lost or run twice."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=main.__doc__)
    parser.add_argument("--store", default=",".join(NAMES), metavar="NAMES", help=f"of {', '.join(NAMES)}; all without")
    parser.add_argument("--hours", type=float, default=1.0, help="for which jobs are enqueued")
    parser.add_argument("--jobs", type=int, default=10_000_000, help="on each store, in that time")
    parser.add_argument("--samples", type=Path, metavar="FILE", help="write what is seen every ten seconds there")
    parser.add_argument("--read", type=Path, metavar="FILE", help="run nothing: take the samples of an earlier run")
    parser.add_argument(
        "--write", action="store_true", help=f"write the page and its plots into {_PAGE.relative_to(ROOT)}"
    )
    given = parser.parse_args()
    stores = tuple(given.store.split(","))
    if set(stores) - set(NAMES):
        parser.error(f"no store {given.store}: there are {', '.join(NAMES)}")
    # Ended from outside, the workers and servers end as well.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    found = samples.read(given.read) if given.read else _run(stores, given)
    print(page.text(found, plots=False))
    if given.write:
        print(*page.write(found, _PAGE), sep="\n", file=sys.stderr)
    right = [not (each.lost or each.doubled or each.left) for each in found.ended]
    return 0 if len(right) == len(found.begun.plan.stores) and all(right) else 1


def _run(stores: tuple[str, ...], given: argparse.Namespace) -> Soak:
    with folder() as place:
        path = given.samples or place / "samples.jsonl"
        path.unlink(missing_ok=True)
        soak(Plan(stores, given.hours * 3600, given.jobs), place, path)
        return samples.read(path)


def soak(plan: Plan, place: Path, path: Path) -> None:
    """Do all of it, and write down what is seen."""
    with ExitStack() as stack:
        for name in plan.stores:
            (place / name).mkdir()
        stores = {name: stack.enter_context(store(name, place / name)) for name in plan.stores}
        command = (
            f"python -m benchmarks.soak --store {','.join(stores)} --hours {plan.seconds / 3600:g} --jobs {plan.jobs}"
        )
        settings = {each.name: each.settings for each in stores.values()}
        samples.write(path, Begun(plan, command, machine(), settings))
        # Only then, so that all begin at the same time.
        runs = [stack.enter_context(running(each, plan, place / name)) for name, each in stores.items()]
        _watch(runs, plan, path)


def _watch(runs: Sequence[Run], plan: Plan, path: Path) -> None:
    began, left, number, held = time.monotonic(), list(runs), 0, False
    while left:
        number += 1
        time.sleep(max(0.0, began + number * plan.every - time.monotonic()))
        for run in list(left):
            try:
                samples.write(path, run.sample(time.monotonic() - began, held=held))
            except SoakError as error:
                # What the others show is not lost with it.
                print(error, file=sys.stderr, flush=True)
                left.remove(run)
                continue
            if run.over(_PATIENCE):
                samples.write(path, run.ended())
                left.remove(run)
        due = plan.held[0] <= (number + 0.5) * plan.every < plan.held[1]
        if due != held:
            held = due
            for run in left:
                (run.store.hold if held else run.store.release)()


if __name__ == "__main__":
    sys.exit(main())
