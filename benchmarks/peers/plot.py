"""A plot of what came out: for each store the bars of one measure, on a logarithmic scale, as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

from benchmarks.peers.measures import Measure
from benchmarks.peers.standing import Standing
from benchmarks.peers.table import number

_NAMES, _WIDTH, _FIGURES, _BAR, _HEAD, _FOOT = 180, 520, 80, 20, 30, 24
_OURS, _THEIRS, _RAW = "#1f77b4", "#999999", "#dddddd"


def plot(standings: Sequence[Standing], measure: Measure, ours: str) -> str:
    """One panel for each store, Penstock's bars in blue, the longest first."""
    panels = [(standing.store, _bars(standing, measure, ours)) for standing in standings]
    values = [value for _, bars in panels for _, value, _ in bars if value > 0]
    if not values:
        return ""
    low, high = 10 ** math.floor(math.log10(min(values))), 10 ** math.ceil(math.log10(max(values)))
    if low == high:
        high = low * 10
    height = sum(_HEAD + len(bars) * _BAR for _, bars in panels) + _HEAD + _FOOT
    width = _NAMES + _WIDTH + _FIGURES
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{_NAMES}" y="18">{escape(measure.head)} ({"more" if measure.more else "less"} is better)</text>',
    ]
    parts += _scale(low, high, height)
    top = float(_HEAD)
    for store, bars in panels:
        parts.append(f'<text x="8" y="{top + 20:g}" font-weight="bold">{escape(store)}</text>')
        top += _HEAD
        for name, value, color in bars:
            long = _place(value, low, high)
            parts.append(f'<text x="{_NAMES - 8}" y="{top + 14:g}" text-anchor="end">{escape(name)}</text>')
            parts.append(f'<rect x="{_NAMES}" y="{top + 3:g}" width="{long:.1f}" height="{_BAR - 6}" fill="{color}"/>')
            parts.append(f'<text x="{_NAMES + long + 6:.1f}" y="{top + 14:g}">{number(value)}</text>')
            top += _BAR
    return "\n".join([*parts, "</svg>", ""])


def _bars(standing: Standing, measure: Measure, ours: str) -> list[tuple[str, float, str]]:
    found = [
        (score.name, value, _OURS if score.name.startswith(ours) else _THEIRS)
        for score in standing.scores
        if (value := score.figure(measure.field)) is not None
    ]
    if measure.field == "drain" and standing.raw:
        found.append(("the raw loop", sum(standing.raw) / len(standing.raw), _RAW))
    return sorted(found, key=lambda bar: bar[1], reverse=measure.more)


def _scale(low: float, high: float, height: int) -> list[str]:
    parts: list[str] = []
    for step in range(round(math.log10(high / low)) + 1):
        value = low * 10**step
        x = _NAMES + _place(value, low, high)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_HEAD}" y2="{height - _FOOT}" stroke="#eee"/>')
        parts.append(f'<text x="{x:.1f}" y="{height - 8}" text-anchor="middle">{value:,g}</text>')
    return parts


def _place(value: float, low: float, high: float) -> float:
    return max(0.0, math.log10(max(value, low) / low) / math.log10(high / low) * _WIDTH)
