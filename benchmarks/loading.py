"""`penstock load`: a file of JSON Lines into a table, through a SQLite queue."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from benchmarks.figures import AtLeast, Figure, alone, alternate
from benchmarks.places import ROOT, folder
from benchmarks.targets import MongoTarget, Target, targets
from penstock.cli.demo import orders


def run(quick: bool) -> list[Figure]:
    """The whole command with 2 workers, from its start to its end, against a bare loop."""
    figures: list[Figure] = []
    with folder() as place, targets(place) as kinds:
        for target in kinds:
            full = 1_000_000 if target.name == "SQLite" else 500_000
            count = 100_000 if quick else full
            source = place / f"{count}.jsonl"
            if not source.exists():
                with source.open("w") as file:
                    file.writelines(f"{line}\n" for line in orders(count, 0))
            figures += _figures(target, source, count, 2 if quick else 3)
    return figures


def _figures(target: Target, source: Path, count: int, repeats: int) -> list[Figure]:
    peaks: list[float] = []

    def ours() -> float:
        command = [sys.executable, "-m", "penstock", "load", str(source), "--into", target.empty(), "--table", "orders"]
        return _rate(target, count, lambda: peaks.append(_load(command)))

    def bare() -> float:
        target.empty()
        return _rate(target, count, lambda: target.fill(source))

    what = f"load of {count:,} orders into {target.name}"
    samples = alternate(repeats, ours, bare)
    figures = [
        samples.figure(what, "records/s", f">= {target.goal} of {target.loop}", AtLeast(target.goal)),
        alone(f"{what}: peak memory", "MB", peaks, "< 200 MB", lambda peak: peak < 200),
    ]
    if isinstance(target, MongoTarget):
        few = count // 25

        def script() -> float:
            target.empty()
            return target.trickle(source, few)

        samples = alternate(repeats, ours, script)
        figures.append(
            samples.figure(f"{what}, beside a script", "records/s", ">= 30 x two threads of insert_one", AtLeast(30))
        )
    return figures


def _rate(target: Target, count: int, work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    took = time.perf_counter() - began
    found = target.count()
    if found != count:
        raise SystemExit(f"{target.name} has {found:,} orders, not {count:,}")
    return count / took


def _load(command: list[str]) -> float:
    """Run it; returns its peak memory in MB."""
    done = subprocess.run([*command, "--workers", "2", "--json"], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return float(msgspec.json.decode(done.stdout)["peak_memory"]) / 1e6
