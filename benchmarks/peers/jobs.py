"""Jobs that mark a slot each: contestants take turns, round by round."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.peers.brokers import Broker
from benchmarks.peers.contest import MEASURES, Round, Sizes, contest
from benchmarks.peers.peer import Peer
from benchmarks.peers.table import Row


def held(contestants: Mapping[str, tuple[Peer, Broker]], place: Path, sizes: Sizes) -> tuple[list[Row], list[str]]:
    """The rows of the table, and how many jobs each has lost or doubled."""
    found: dict[str, list[Round]] = {name: [] for name in contestants}
    for name in turns(list(contestants), sizes.rounds):
        found[name].append(contest(*contestants[name], place, sizes))
        print(f"  {name}: {found[name][-1]}", file=sys.stderr, flush=True)
    rows = [
        Row(
            what.format(count=sizes.one + sizes.many, paced=sizes.paced - 1),
            unit,
            more,
            {name: [float(getattr(each, field)) for each in rounds] for name, rounds in found.items()},
            goal if len({peer.name for peer, _ in contestants.values()}) > 1 else None,
        )
        for field, (what, unit, more, goal) in MEASURES.items()
    ]
    notes = [
        f"{name}: {sum(each.lost for each in rounds)} jobs lost, {sum(each.doubled for each in rounds)} started twice, "
        f"of {len(rounds) * (sizes.one + sizes.many + sizes.paced):,}"
        for name, rounds in found.items()
    ]
    return rows, notes


def turns(names: list[str], rounds: int) -> Iterator[str]:
    """Who is next; the first of a round changes, so that what else the machine does falls on all."""
    for index in range(rounds):
        yield from names[:: 1 if index % 2 else -1]
