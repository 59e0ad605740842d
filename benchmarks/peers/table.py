"""The table of a contest; of two, with who is ahead in each row, whoever it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

import msgspec


class Row(msgspec.Struct, frozen=True):
    """One thing that was measured of each contestant.

    Parameters:
        what: it is.
        unit: of the figures.
        more: is more better?
        rounds: by contestant, one figure for each round.
        goal: how many times better the first of two is to be, at least.
    """

    what: str
    unit: str
    more: bool
    rounds: Mapping[str, Sequence[float]]
    goal: float | None = None

    def ratios(self, ours: str, theirs: str) -> list[float]:
        """How many times better ours is, round by round; below 1 theirs is."""
        pairs = zip(self.rounds[ours], self.rounds[theirs], strict=True)
        return [mine / other if self.more else other / mine for mine, other in pairs]


def table(rows: Sequence[Row]) -> str:
    """As Markdown, the medians with the least and the most of the rounds. Of two, `neither` is ahead where rounds differ about it."""
    names = list(rows[0].rounds)
    cells = [["what", *(f"{name} (least - most)" for name in names)]]
    cells += [[f"{row.what}, {row.unit}", *(_spread(row.rounds[name]) for name in names)] for row in rows]
    goals = any(row.goal is not None for row in rows)
    if len(names) == 2:
        cells[0] += [f"times better {names[0]} is (least - most)", "ahead", *(["goal", "met"] if goals else [])]
        for row, line in zip(rows, cells[1:], strict=True):
            ratios = row.ratios(*names)
            ahead = names[0] if min(ratios) > 1 else names[1] if max(ratios) < 1 else "neither"
            goal = ["", ""] if row.goal is None else [f">= {row.goal:g}", "yes" if median(ratios) >= row.goal else "no"]
            line.extend([_spread(ratios), ahead, *(goal if goals else [])])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in cells]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(lines)


def _spread(values: Sequence[float]) -> str:
    return f"{_number(median(values))} ({_number(min(values))} - {_number(max(values))})"


def _number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
