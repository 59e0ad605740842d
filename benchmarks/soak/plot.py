"""The samples of one store drawn over time, one panel below the other, as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from xml.sax.saxutils import escape

import msgspec

from benchmarks.soak.samples import Sample

Points = list[tuple[float, float]]

_LEFT, _WIDTH, _RIGHT, _HEIGHT, _GAP, _TOP = 90, 760, 20, 110, 46, 24
_LINES = ("#1f77b4", "#d62728")
_MINUTES = (0.5, 1, 2, 5, 10, 30, 60)
_MEGABYTE = 1e6


class Panel(msgspec.Struct, frozen=True):
    """Lines over the same scale: the first blue, the second red.

    Parameters:
        steep: a logarithmic scale; else it begins with 0.
    """

    title: str
    lines: tuple[Points, ...]
    steep: bool = False


def panels(samples: Sequence[Sample]) -> list[Panel]:
    """What there is to see of a store."""
    server = any(sample.cpu_server for sample in samples)
    garbage = "rows that are to be vacuumed" if server else "free pages of the file"
    found = [
        Panel("jobs started per second", (_rates(samples, "started"),)),
        Panel("jobs sent and not yet started", ([(each.at, float(each.sent - each.started)) for each in samples],)),
        Panel(
            "ms from .delay to the start: p50 (blue), p99 (red)",
            tuple([(each.at, wait) for each in samples if (wait := getattr(each, name))] for name in ("p50", "p99")),
            steep=True,
        ),
        Panel(
            "MB of memory (PSS): the worker (blue), who enqueues (red)",
            (
                [(each.at, each.memory) for each in samples],
                [(each.at, each.memory_senders) for each in samples if each.memory_senders],
            ),
        ),
        Panel(
            f"% of a core: the worker (blue){', the server (red)' if server else ''}",
            tuple([(at, rate * 100) for at, rate in _rates(samples, name)] for name in _CPU[: 1 + server]),
        ),
        Panel(
            f"MB: {'all tables' if server else 'the file'} (blue), the write-ahead log (red)",
            tuple([(each.at, getattr(each.kept, name) / _MEGABYTE) for each in samples] for name in ("size", "wal")),
        ),
        Panel(garbage, ([(each.at, float(each.kept.garbage)) for each in samples],)),
        Panel(
            "results that are kept (blue), dead letters (red)",
            tuple([(each.at, float(getattr(each.kept, name))) for each in samples] for name in ("results", "dead")),
        ),
        Panel("load of the machine", ([(each.at, each.load) for each in samples],)),
    ]
    return [panel for panel in found if any(panel.lines)]


_CPU = ("cpu", "cpu_server")


def _rates(samples: Sequence[Sample], field: str) -> Points:
    """How much a count grew in a second, between each sample and the one before."""
    return [
        (after.at, (getattr(after, field) - getattr(before, field)) / (after.at - before.at))
        for before, after in pairwise(samples)
    ]


def plot(found: Sequence[Panel], seconds: float, held: tuple[float, float]) -> str:
    """Draw panels over so many seconds; grey is the time in which a transaction was held open."""
    height, width = len(found) * (_HEIGHT + _GAP) + 10, _LEFT + _WIDTH + _RIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for number, panel in enumerate(found):
        parts += _panel(panel, seconds, held, _TOP + number * (_HEIGHT + _GAP))
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel, seconds: float, held: tuple[float, float], top: int) -> list[str]:
    ticks = _steep(panel) if panel.steep else _flat(panel)
    low, high = ticks[0], ticks[-1]

    def along(at: float) -> float:
        return _LEFT + min(at, seconds) / seconds * _WIDTH

    def up(value: float) -> float:
        share = math.log(value / low) / math.log(high / low) if panel.steep else value / high
        return top + _HEIGHT * (1 - share)

    left, right = map(along, held)
    parts = [
        f'<rect x="{left:.1f}" y="{top}" width="{right - left:.1f}" height="{_HEIGHT}" fill="#eee"/>',
        f'<text x="{_LEFT}" y="{top - 6}">{escape(panel.title)}</text>',
    ]
    for value in ticks:
        parts.append(
            f'<line x1="{_LEFT}" x2="{_LEFT + _WIDTH}" y1="{up(value):.1f}" y2="{up(value):.1f}" stroke="#ccc"/>'
        )
        parts.append(f'<text x="{_LEFT - 8}" y="{up(value) + 4:.1f}" text-anchor="end">{value:,.12g}</text>')
    for color, line in zip(_LINES, panel.lines, strict=False):
        points = " ".join(f"{along(at):.1f},{up(value):.1f}" for at, value in line if at <= seconds)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.2"/>')
    step = next((each for each in _MINUTES if seconds / 60 / each <= _COLUMNS), _MINUTES[-1])
    minutes = [number * step for number in range(int(seconds / 60 / step) + 1)]
    parts += [
        f'<text x="{along(minute * 60):.1f}" y="{top + _HEIGHT + 14}" text-anchor="middle">{minute:g} min</text>'
        for minute in minutes
    ]
    return parts


_COLUMNS = 8


def _values(panel: Panel) -> list[float]:
    return [value for line in panel.lines for _, value in line]


def _steep(panel: Panel) -> list[float]:
    values = [value for value in _values(panel) if value > 0]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return [10.0**power for power in range(low, max(high, low + 1) + 1)]


def _flat(panel: Panel) -> list[float]:
    most = max(*_values(panel), 1e-9)
    step = 10 ** math.floor(math.log10(most / 2))
    step = next(step * each for each in (1, 2, 5, 10) if most / (step * each) <= _ROWS)
    return [step * number for number in range(math.ceil(most / step) + 1)]


_ROWS = 5
