"""Rows sent one by one into a table of PostgreSQL, end to end: what a batch task is for."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from benchmarks.peers.brokers import Broker
from benchmarks.peers.contest import Sizes
from benchmarks.peers.jobs import turns
from benchmarks.peers.peer import DATABASE, URL, Peer
from benchmarks.peers.table import Row
from benchmarks.targets import PostgresTarget
from penstock.cli.demo import orders
from penstock.testing.servers import PostgresServer

_PATIENCE = 30.0


class Sent(msgspec.Struct, frozen=True):
    """What one round gave: orders sent per second, orders in the table per second from the first call on, and how many are in."""

    sent: float
    stored: float
    found: int


def held(contestants: Mapping[str, tuple[Peer, Broker]], place: Path, sizes: Sizes) -> tuple[list[Row], list[str]]:
    """The rows of the table, and how many orders each has lost."""
    source, count = place / "orders.jsonl", sizes.orders
    with source.open("w") as file:
        file.writelines(f"{line}\n" for line in orders(count, 0))
    found: dict[str, list[Sent]] = {name: [] for name in contestants}
    with PostgresServer(durable=True) as server:
        target = PostgresTarget(server)
        for name in turns(list(contestants), sizes.rounds):
            found[name].append(_round(*contestants[name], target, place, source, count))
            print(f"  {name}: {found[name][-1]}", file=sys.stderr, flush=True)
    what = f"{count:,} orders by .delay, one by one in one thread"
    rows = [
        Row(
            f"{what}: {words}",
            "orders/s",
            True,
            {name: [float(getattr(each, field)) for each in rounds] for name, rounds in found.items()},
            goal,
        )
        for field, words, goal in (("sent", "enqueued", None), ("stored", "until they are in the table", 10.0))
    ]
    notes = [
        f"{name}: {sum(count - each.found for each in rounds)} orders of {count * len(rounds):,} not in the table at the end"
        for name, rounds in found.items()
    ]
    return rows, notes


def _round(peer: Peer, broker: Broker, target: PostgresTarget, place: Path, source: Path, count: int) -> Sent:
    environment = {DATABASE: target.empty(), URL: broker.new()}
    with peer.running(environment, place / "worker.log"), peer.client(environment, "orders", str(source)) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdout.readline()
        if _wait(target, 1) < 1:
            told = (place / "worker.log").read_text("utf-8", "replace")[-2000:]
            raise SystemExit(f"{peer.name} on {broker.name} stored no order: {told}")
        sent = _sent(client)
        found = _wait(target, count)
        ended = time.monotonic()
    return Sent(sent=(count - 1) / sent["seconds"], stored=(found - 1) / (ended - sent["began"]), found=found)


def _sent(client: subprocess.Popen[str]) -> dict[str, float]:
    told, _ = client.communicate("go\n")
    if client.returncode:
        raise SystemExit("the orders could not be enqueued: see above")
    return dict(msgspec.json.decode(told))


def _wait(target: PostgresTarget, count: int) -> int:
    """Wait until so many are in, or none has come for half a minute; returns how many are."""
    last, since = target.count(), time.monotonic()
    while last < count and time.monotonic() < since + _PATIENCE:
        time.sleep(0.02)
        now = target.count()
        if now != last:
            last, since = now, time.monotonic()
    return last
