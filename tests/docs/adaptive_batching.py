"""Draws docs/explanation/adaptive-batching.svg, and prints the page's table: `python tests/docs/adaptive_batching.py`.

Both come from the simulation and are the same at every run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from statistics import mean

from sink_simulation import BOUND, SINKS, SWINGS, TARGET, Run, scores, simulate, swing

from penstock.core.adaptive import Adaptive
from penstock.core.sizing import ByDepth, Fixed, Sizing

PLOT = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "adaptive-batching.svg"
_WIDTH, _HEIGHT, _LEFT, _GAP = 760, 120, 90, 46
_LINES = ("#1f77b4", "#d62728")


def plot() -> str:
    """Two swings and a slow-down on the sink with many indexes: load, depth, size and latency."""
    run = simulate(Adaptive(), SINKS["heavy"], swing, SWINGS)
    loads = [(step / 20, swing(step / 20)) for step in range(int(SWINGS * 20))]
    panels = [
        ("orders per second", 1.0, 1e5, [loads]),
        ("depth of the queue", 1.0, 1e5, [_worst((at, float(depth)) for at, depth in run.depths)]),
        ("orders in a call", 1.0, 1e4, [_worst((at, float(rows)) for at, rows, _ in run.calls)]),
        (
            "seconds: call (blue), order (red)",
            1e-3,
            10.0,
            [_worst((at, took) for at, _, took in run.calls), _orders(run)],
        ),
    ]
    height = len(panels) * (_HEIGHT + _GAP) + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LEFT + _WIDTH + 20} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{_LEFT + _WIDTH + 20}" height="{height}" fill="white"/>',
    ]
    for number, (title, low, high, lines) in enumerate(panels):
        parts += _panel(title, low, high, lines, 24 + number * (_HEIGHT + _GAP))
    return "\n".join([*parts, "</svg>", ""])


def _panel(title: str, low: float, high: float, lines: list[list[tuple[float, float]]], top: int) -> list[str]:
    """One panel, with a logarithmic scale upwards."""
    decades = math.log10(high / low)

    def place(at: float, value: float) -> str:
        up = math.log10(min(high, max(low, value)) / low) / decades
        return f"{_LEFT + at / SWINGS * _WIDTH:.1f},{top + _HEIGHT * (1 - up):.1f}"

    left, right = _LEFT + 12 / SWINGS * _WIDTH, _LEFT + 16 / SWINGS * _WIDTH
    parts = [
        f'<rect x="{left:.1f}" y="{top}" width="{right - left:.1f}" height="{_HEIGHT}" fill="#eee"/>',
        f'<text x="{_LEFT}" y="{top - 6}">{title}</text>',
    ]
    for step in range(round(decades) + 1):
        y = top + _HEIGHT * (1 - step / decades)
        parts.append(f'<line x1="{_LEFT}" x2="{_LEFT + _WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ccc"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{low * 10**step:,g}</text>')
    for color, line in zip(_LINES, lines, strict=False):
        points = " ".join(place(at, value) for at, value in line)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.5"/>')
    for second in range(0, int(SWINGS) + 1, 5):
        x = _LEFT + second / SWINGS * _WIDTH
        parts.append(f'<text x="{x:.1f}" y="{top + _HEIGHT + 14}" text-anchor="middle">{second} s</text>')
    return parts


def _worst(points: Iterable[tuple[float, float]], every: float = 0.1) -> list[tuple[float, float]]:
    """The largest value of each tenth of a second."""
    found: dict[int, float] = {}
    for at, value in points:
        found[int(at / every)] = max(found.get(int(at / every), 0.0), value)
    return [(place * every, value) for place, value in sorted(found.items())]


def _orders(run: Run) -> list[tuple[float, float]]:
    """The longest that an order which came in a tenth of a second took, of those that were written."""
    return _worst((at, latency) for at, _, latency, _ in run.orders if latency < math.inf)


def table() -> str:
    """The score of each policy on each sink, in Markdown."""
    policies: list[tuple[str, Callable[[], Sizing]]] = [("adaptive", Adaptive)]
    policies.append(("by depth, 4 calls", partial(ByDepth, batches=4)))
    for wait in (0.05, 0.0):
        for size in (1, 10, 100, 500, 1000, 2000, 5000, 10_000):
            name = f"{size:,}, 4 calls, waits {wait * 1000:.0f} ms" if wait else f"up to {size:,}, 4 calls, no wait"
            policies.append((name, partial(Fixed, size, wait=wait, batches=4)))
    rows = [f"| policy | {' | '.join(SINKS)} | mean |", "| --- | --- | --- | --- | --- |"]
    for name, make in policies:
        found = scores(make)
        cells = " | ".join(f"{score:.3f}" for score in found.values())
        rows.append(f"| {name} | {cells} | {mean(found.values()):.3f} |")
    return "\n".join(rows)


if __name__ == "__main__":
    PLOT.write_text(plot(), "utf-8")
    print(f"target {TARGET} s, bound {BOUND} s\n{table()}")
