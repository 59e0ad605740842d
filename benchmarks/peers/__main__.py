"""`python -m benchmarks.peers [--only NAME] [--on STORE] [--quick] [--rounds N] [--write] [--json FILE]`: Penstock and its peers in turn, and a table."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from importlib import import_module
from pathlib import Path

import msgspec

from benchmarks.__main__ import machine
from benchmarks.peers import orders, page
from benchmarks.peers.brokers import STORES, broker
from benchmarks.peers.contest import FULL, QUICK, Sizes
from benchmarks.peers.peer import Peer
from benchmarks.peers.standing import Standing, standing
from benchmarks.places import ROOT, folder

#: The module of each contestant, in the order of the tables.
CONTESTANTS = (
    "penstock",
    "penstock_normal",
    "huey",
    "persist_queue",
    "taskito",
    "honker",
    "honker_batches",
    "pgqueuer",
    "procrastinate",
    "awa",
    "celery",
    "dramatiq",
    "dramatiq_quorum",
    "taskiq",
    "saq",
    "streaq",
    "rq",
    "rq_simple",
)
_PAGE = ROOT / "docs" / "reference"
_BATCHES = "celery_batches"


def main() -> int:
    """Measure those named, or all, on every store that they are set up for, and print the page."""
    place = argparse.ArgumentParser(add_help=False)
    place.add_argument("--json", type=Path, metavar="FILE", help="write all rounds there")
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=main.__doc__, parents=[place])
    names = (*CONTESTANTS, _BATCHES)
    parser.add_argument("--only", action="append", choices=names, help="this one; may be given again")
    parser.add_argument("--on", action="append", choices=STORES, help="on this store only; may be given again")
    parser.add_argument("--quick", action="store_true", help="few jobs and one round, for a first look")
    parser.add_argument("--rounds", type=int, help="of each, instead of what comes with the size")
    parser.add_argument(
        "--write", action="store_true", help=f"write the page and its plots into {_PAGE.relative_to(ROOT)}"
    )
    given = parser.parse_args()
    # Ended from outside, the workers and servers end as well.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sizes = QUICK if given.quick else FULL
    if given.rounds:
        sizes = msgspec.structs.replace(sizes, rounds=given.rounds)
    started, began, only = time.monotonic(), machine(), given.only or names
    peers: list[Peer] = [
        import_module(f"benchmarks.peers.contestants.{name}").PEER for name in only if name in CONTESTANTS
    ]
    standings = [_held(name, peers, sizes) for name in given.on or STORES if any(name in each.setups for each in peers)]
    stored = _stored(sizes) if _BATCHES in only and "Redis" in (given.on or STORES) else None
    # Where the rounds are written says nothing about them, and is a path of this machine.
    command = " ".join(["python -m benchmarks.peers", *place.parse_known_args()[1]])
    report = page.Report(command, began, given.quick, sizes.rounds, standings, stored)
    if given.json is not None:
        given.json.write_bytes(msgspec.json.encode(report))
    print(page.text(report, _ours().name, plots=False))
    print(f"took {(time.monotonic() - started) / 60:.1f} minutes", file=sys.stderr)
    if given.write:
        print(*page.write(report, _ours().name, _PAGE), sep="\n", file=sys.stderr)
    return 0


def _held(name: str, peers: list[Peer], sizes: Sizes) -> Standing:
    print(f"{name} ...", file=sys.stderr, flush=True)
    mine = [peer for peer in peers if name in peer.setups]
    try:
        with folder() as place, broker(name, place) as server:
            return standing(server, mine, place, sizes)
    except Exception as error:  # noqa: BLE001 - a store that does not start, or goes away, takes nothing from the others
        print(f"  {error!r}", file=sys.stderr, flush=True)
        return Standing(name, f"Not measured: {error}", "", [], [])


def _stored(sizes: Sizes) -> orders.Stored:
    print("rows into a table ...", file=sys.stderr, flush=True)
    batches: Peer = import_module(f"benchmarks.peers.contestants.{_BATCHES}").PEER
    with folder() as place, broker("Redis", place) as server:
        return orders.held([_ours(), batches], server, place, sizes)


def _ours() -> Peer:
    peer: Peer = import_module("benchmarks.peers.contestants.penstock").PEER
    return peer


if __name__ == "__main__":
    sys.exit(main())
