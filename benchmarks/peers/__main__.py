"""`python -m benchmarks.peers [NAME ...] [--on BROKER] [--quick] [--json]`: Penstock and its peers in turn, and a table."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path

import msgspec

from benchmarks.__main__ import machine
from benchmarks.peers import orders
from benchmarks.peers.brokers import Broker, broker
from benchmarks.peers.contest import FULL, QUICK, Round, Sizes, contest
from benchmarks.peers.peer import Peer
from benchmarks.peers.penstock import PEER as PENSTOCK
from benchmarks.peers.table import Row, table
from benchmarks.places import folder
from penstock.brokers import SCHEMES

#: The module of each peer.
PEERS = ("celery", "celery_batches")
_SCHEMES = {"Redis": "redis", "RabbitMQ": "amqp"}
_ROWS = {
    "one": ("enqueue, one by one", "jobs/s", True),
    "many": ("enqueue, in bulk", "jobs/s", True),
    "drain": ("drain of {count:,}, prefork 2, first start to last", "jobs/s", True),
    "cpu": ("CPU of the worker, for 1,000 jobs", "ms", False),
    "cpu_all": ("CPU of the worker and the broker, for 1,000 jobs", "ms", False),
    "p50": ("enqueue to start, {paced} jobs at 50/s, p50", "ms", False),
    "p99": ("enqueue to start, {paced} jobs at 50/s, p99", "ms", False),
    "pss": ("memory (PSS) of the idle worker", "MB", False),
    "idle": ("CPU of the idle worker", "% of a core", False),
}


class Result(msgspec.Struct, frozen=True):
    """A contest with one peer on one broker, and how it was held."""

    peer: str
    broker: str
    versions: list[str]
    settings: list[str]
    notes: list[str]
    rows: list[Row]


def main() -> int:
    """Run the peers named, or all, on every broker that they know."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=main.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PEERS)}; all without")
    parser.add_argument("--on", action="append", choices=tuple(_SCHEMES), help="this broker only")
    parser.add_argument("--quick", action="store_true", help="smaller sizes and fewer rounds")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    given = parser.parse_args()
    unknown = set(given.names) - set(PEERS)
    if unknown:
        parser.error(f"no peer {', '.join(sorted(unknown))}: there are {', '.join(PEERS)}")
    results: list[Result] = []
    for name in given.names or PEERS:
        peer: Peer = import_module(f"benchmarks.peers.{name}").PEER
        for on in given.on or peer.settings:
            if on in peer.settings:
                print(f"{peer.name} on {on} ...", file=sys.stderr, flush=True)
                results.append(_against(peer, on, QUICK if given.quick else FULL))
                if not given.json:
                    print(_told(results[-1]), flush=True)
    if given.json:
        print(msgspec.json.encode({"machine": machine(), "results": results}).decode())
    return 0


def _against(peer: Peer, on: str, sizes: Sizes) -> Result:
    # A scheme that has no broker yet is measured of the peer alone.
    sides = [PENSTOCK, peer] if _SCHEMES[on] in SCHEMES else [peer]
    with folder() as place, broker(on, place) as server:
        if peer.rows:
            rows, notes = orders.rows(sides, server, place, sizes.orders, sizes.rounds)
        else:
            rows, notes = _rows(sides, server, place, sizes)
        return Result(
            peer=peer.name,
            broker=on,
            versions=[*(side.versions() for side in sides), server.settings],
            settings=[f"{side.name}: {side.settings[on]}" for side in sides],
            notes=notes,
            rows=rows,
        )


def _rows(sides: list[Peer], server: Broker, place: Path, sizes: Sizes) -> tuple[list[Row], list[str]]:
    found: dict[str, list[Round]] = {"Penstock": [], sides[-1].name: []}
    for index in range(sizes.rounds):
        for side in sides[:: 1 if index % 2 else -1]:
            found[side.name].append(contest(side, server, place, sizes))
            print(f"  {side.name}: {found[side.name][-1]}", file=sys.stderr, flush=True)
    rows = [
        Row(
            what.format(count=sizes.one + sizes.many, paced=sizes.paced - 1),
            unit,
            more,
            *([float(getattr(each, field)) for each in rounds] for rounds in found.values()),
        )
        for field, (what, unit, more) in _ROWS.items()
    ]
    notes = [
        f"{name}: {sum(each.lost for each in rounds)} lost, {sum(each.doubled for each in rounds)} started twice"
        for name, rounds in found.items()
        if rounds
    ]
    return rows, notes


def _told(result: Result) -> str:
    lines = [f"## {result.peer} on {result.broker}", "", machine(), "", *(f"- {each}" for each in result.versions)]
    lines += [f"- {each}" for each in (*result.settings, *result.notes)]
    return "\n".join([*lines, "", table(result.rows, result.peer), ""])


if __name__ == "__main__":
    sys.exit(main())
