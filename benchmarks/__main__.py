"""`python -m benchmarks [NAME ...] [--quick] [--check] [--json]`: measure, and print a table."""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import sqlite3
import sys
from importlib import import_module

import msgspec

from benchmarks.figures import Figure
from penstock.worker.cores import cores

#: The name of each subject's module.
SUBJECTS = (
    "drain",
    "engine",
    "enqueue",
    "packed",
    "pools",
    "latency",
    "floors",
    "idle",
    "depth",
    "loading",
    "sinks",
    "drains",
    "servers",
    "scaling",
    "scraping",
    "limits",
    "start",
    "cache",
    "metrics",
    "batching",
    "simulation",
    "moving",
    "topics",
    "waiting",
    "schedules",
    "workflows",
)
_HEAD = ("what", "measured", "(least - most)", "raw", "ratio (least - most)", "goal", "met")


def main() -> int:
    """Run the subjects named, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=main.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SUBJECTS)}; all without")
    parser.add_argument("--quick", action="store_true", help="smaller sizes and fewer repeats")
    parser.add_argument(
        "--check", action="store_true", help="exit with 1 where even the best pair is below half of a goal"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args()
    unknown = set(given.names) - set(SUBJECTS)
    if unknown:
        parser.error(f"no subject {', '.join(sorted(unknown))}: there are {', '.join(SUBJECTS)}")
    figures: list[Figure] = []
    for name in given.names or SUBJECTS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        # Each as soon as it is there: some subjects take a quarter of an hour.
        for figure in import_module(f"benchmarks.{name}").run(given.quick):
            print("  " + "  ".join(filter(None, _cells(figure))), file=sys.stderr, flush=True)
            figures.append(figure)
    show(figures, as_json=given.json)
    fallen = [figure.what for figure in figures if figure.fallen] if given.check else []
    for what in fallen:
        print(f"{what}: even the best pair is below half of the goal; what has made it slower?", file=sys.stderr)
    return 1 if fallen else 0


def show(figures: list[Figure], *, as_json: bool) -> None:
    """Print what was measured, and where."""
    if as_json:
        print(msgspec.json.encode({"machine": machine(), "figures": figures}).decode())
    else:
        print(machine())
        print(table(figures))


def machine() -> str:
    """What the figures were measured on."""
    now = dt.datetime.now(dt.UTC)
    return (
        f"{now:%Y-%m-%d}, {cores()} cores ({_processor()}), {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, load {os.getloadavg()[0]:.1f}"
    )


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()


def table(figures: list[Figure]) -> str:
    """The figures as a Markdown table."""
    rows = [_HEAD, *map(_cells, figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(lines)


def _cells(figure: Figure) -> tuple[str, ...]:
    ratio = ""
    if figure.ratio is not None:
        ratio = f"{figure.ratio:.2f} ({figure.ratio_low:.2f} - {figure.ratio_high:.2f})"
    return (
        figure.what,
        f"{_number(figure.measured)} {figure.unit}",
        f"({_number(figure.low)} - {_number(figure.high)})",
        "" if figure.raw is None else _number(figure.raw),
        ratio,
        figure.goal,
        ("yes" if figure.met else "no") if figure.goal else "",
    )


def _number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


if __name__ == "__main__":
    sys.exit(main())
