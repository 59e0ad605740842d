"""The table of a contest, with who is ahead in each row, whoever it is."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import msgspec

HEAD = ("what", "Penstock (least - most)", "{peer} (least - most)", "times better (least - most)", "ahead")


class Row(msgspec.Struct, frozen=True):
    """One thing that was measured of both.

    Parameters:
        what: it is.
        unit: of the figures.
        more: is more better?
        ours, theirs: one of each round, in pairs; `ours` is empty where Penstock has no such broker.
    """

    what: str
    unit: str
    more: bool
    ours: Sequence[float]
    theirs: Sequence[float]

    @property
    def ratios(self) -> list[float]:
        """How many times better Penstock is, for each pair; below 1 the peer is."""
        return [
            mine / other if self.more else other / mine for mine, other in zip(self.ours, self.theirs, strict=False)
        ]

    def cells(self, peer: str) -> tuple[str, ...]:
        """As the table shows it."""
        ahead = ratio = ""
        if self.ratios:
            ratio = f"{_number(median(self.ratios))} ({_number(min(self.ratios))} - {_number(max(self.ratios))})"
            ahead = "Penstock" if min(self.ratios) > 1 else peer if max(self.ratios) < 1 else "neither"
        return f"{self.what}, {self.unit}", _spread(self.ours), _spread(self.theirs), ratio, ahead


def table(rows: Sequence[Row], peer: str) -> str:
    """As Markdown. `neither` is ahead where rounds differ about it."""
    cells = [tuple(cell.format(peer=peer) for cell in HEAD), *(row.cells(peer) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEAD))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in cells
    ]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(lines)


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "not there yet"
    return f"{_number(median(values))} ({_number(min(values))} - {_number(max(values))})"


def _number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
