"""`python -m benchmarks.peers [NAME ...] [--on BROKER] [--quick] [--json]`: Penstock and its peers in turn, and a table.

`brokers` is no peer: it is Penstock alone, on each of its brokers in turn.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from importlib import import_module

import msgspec

from benchmarks.__main__ import machine
from benchmarks.peers import jobs, orders
from benchmarks.peers.brokers import SCHEMES, Broker, broker
from benchmarks.peers.contest import FULL, QUICK, Sizes
from benchmarks.peers.peer import Peer
from benchmarks.peers.penstock import PEER as PENSTOCK
from benchmarks.peers.table import Row, table
from benchmarks.places import folder
from penstock.brokers import SCHEMES as OURS

#: The module of each peer.
PEERS = ("celery", "celery_batches")
NAMES = (*PEERS, "brokers")


class Result(msgspec.Struct, frozen=True):
    """A contest, and how it was held: versions, settings and what else is to be known, line by line."""

    title: str
    notes: list[str]
    rows: list[Row]


def main() -> int:
    """Run the contests named, or all, on every broker that the peer is set up for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=main.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all without")
    parser.add_argument("--on", action="append", choices=tuple(SCHEMES), help="this broker only")
    parser.add_argument("--quick", action="store_true", help="smaller sizes and fewer rounds")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    given = parser.parse_args()
    unknown = set(given.names) - set(NAMES)
    if unknown:
        parser.error(f"no contest {', '.join(sorted(unknown))}: there are {', '.join(NAMES)}")
    results: list[Result] = []
    for name in given.names or NAMES:
        for title, sides in _contests(name, given.on or list(SCHEMES)):
            print(f"{title} ...", file=sys.stderr, flush=True)
            results.append(_held(title, sides, QUICK if given.quick else FULL))
            if not given.json:
                print(_told(results[-1]), flush=True)
    if given.json:
        print(msgspec.json.encode({"machine": machine(), "results": results}).decode())
    return 0


def _contests(name: str, on: list[str]) -> Iterator[tuple[str, Mapping[str, tuple[Peer, str]]]]:
    """The title of each, and its contestants with the brokers that they are on."""
    if name == "brokers":
        yield "The brokers of Penstock", {each: (PENSTOCK, each) for each in on if SCHEMES[each] in OURS}
        return
    peer: Peer = import_module(f"benchmarks.peers.{name}").PEER
    for each in on:
        if each in peer.settings:
            # On a broker that Penstock has not, the peer is measured alone.
            ours = {PENSTOCK.name: (PENSTOCK, each)} if SCHEMES[each] in OURS else {}
            yield f"{peer.name} on {each}", {**ours, peer.name: (peer, each)}


def _held(title: str, sides: Mapping[str, tuple[Peer, str]], sizes: Sizes) -> Result:
    with folder() as place, ExitStack() as stack:
        servers: dict[str, Broker] = {}
        for _, on in sides.values():
            if on not in servers:
                servers[on] = stack.enter_context(broker(on, place))
        contestants = {name: (peer, servers[on]) for name, (peer, on) in sides.items()}
        peers = list(dict.fromkeys(peer for peer, _ in sides.values()))
        held = orders.held if any(peer.rows for peer in peers) else jobs.held
        rows, notes = held(contestants, place, sizes)
        return Result(
            title=title,
            notes=[
                *(peer.versions() for peer in peers),
                *(server.settings for server in servers.values()),
                *(f"{peer.name}: {peer.settings[on]}" for peer, on in dict.fromkeys(sides.values())),
                *notes,
            ],
            rows=rows,
        )


def _told(result: Result) -> str:
    notes = (f"- {note}" for note in dict.fromkeys(result.notes))
    return "\n".join([f"## {result.title}", "", machine(), "", *notes, "", table(result.rows), ""])


if __name__ == "__main__":
    sys.exit(main())
