"""Rows sent one by one into a table of PostgreSQL, end to end: what a batch task is for."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

import msgspec

from benchmarks.peers.brokers import Broker
from benchmarks.peers.contest import Sizes
from benchmarks.peers.peer import DATABASE, URL, Peer, PeerError, last_line
from benchmarks.peers.table import markdown, number
from benchmarks.targets import PostgresTarget
from penstock.cli.demo import orders
from penstock.testing.servers import PostgresServer

_PATIENCE, _LIMIT = 15.0, 180.0


class Sent(msgspec.Struct, frozen=True):
    """What one round gave: orders sent per second, orders in the table per second from the first call on, and how many are not in."""

    sent: float
    stored: float
    missing: int


class Stored(msgspec.Struct, frozen=True):
    """What came out: each contestant's rounds, or why it has none.

    Parameters:
        count: orders of a round.
        notes: versions and settings.
    """

    count: int
    notes: list[str]
    rounds: dict[str, list[Sent]]
    failed: dict[str, str]

    def table(self) -> str:
        """As Markdown, with the medians."""
        rows = [["", "enqueued, orders/s", "until they are in the table, orders/s", "not in the table"]]
        for name, rounds in self.rounds.items():
            if rounds:
                sent, stored = (median(getattr(each, field) for each in rounds) for field in ("sent", "stored"))
                rows.append([name, number(sent), number(stored), f"{sum(each.missing for each in rounds):,}"])
        failed = [f"- **{name}**: {why}" for name, why in self.failed.items()]
        return "\n".join([markdown(rows), *([""] if failed else []), *failed])


def held(peers: Sequence[Peer], broker: Broker, place: Path, sizes: Sizes) -> Stored:
    """Let them take turns, round by round; who fails is out."""
    source, count = place / "orders.jsonl", sizes.orders
    with source.open("w") as file:
        file.writelines(f"{line}\n" for line in orders(count, 0))
    result = Stored(count, [], {peer.name: [] for peer in peers}, {})
    with PostgresServer(durable=True) as server:
        target = PostgresTarget(server)
        for turn in range(sizes.rounds):
            for peer in peers if turn % 2 else reversed(peers):
                if peer.name in result.failed:
                    continue
                try:
                    result.rounds[peer.name].append(_round(peer, broker, target, place, source, count))
                except Exception as error:  # noqa: BLE001 - whatever stops one is its row, and stops no other
                    result.failed[peer.name] = str(error)
                told = result.failed.get(peer.name) or result.rounds[peer.name][-1]
                print(f"  {peer.name}: {told}", file=sys.stderr, flush=True)
    for peer in peers:
        if result.rounds[peer.name]:
            result.notes.append(f"{peer.versions()}: {peer.setups[broker.name].words}")
    return result


def _round(peer: Peer, broker: Broker, target: PostgresTarget, place: Path, source: Path, count: int) -> Sent:
    environment: Mapping[str, str] = {DATABASE: target.empty(), URL: broker.new()}
    with peer.running(environment, place / "worker.log"), peer.client(environment, "orders", str(source)) as client:
        assert client.stdout is not None
        client.stdout.readline()
        if _wait(target, 1) < 1:
            client.kill()
            told = last_line((place / "worker.log").read_text("utf-8", "replace"))
            raise PeerError(f"stored no order in {_PATIENCE:.0f} s: {told}")
        sent = peer.told(client, "go\n")
        found = _wait(target, count)
        ended = time.monotonic()
    return Sent(sent=(count - 1) / sent["seconds"], stored=(found - 1) / (ended - sent["began"]), missing=count - found)


def _wait(target: PostgresTarget, count: int) -> int:
    """Wait until so many are in, or no more come, or it takes too long; returns how many are."""
    last, since = target.count(), time.monotonic()
    ends = since + _LIMIT
    while last < count and time.monotonic() < min(ends, since + _PATIENCE):
        time.sleep(0.02)
        now = target.count()
        if now != last:
            last, since = now, time.monotonic()
    return last
