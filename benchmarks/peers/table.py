"""The tables: all contestants of a store, what was chosen for them, and how many times better Penstock is than each."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.peers.measures import MEASURES, Measure
from benchmarks.peers.standing import Score, Standing

#: In a cell: a peer that has no such thing, and one of which it was not measured.
_NONE = "-"


def figures(standing: Standing) -> str:
    """Who has the best figure of a column has it in bold, whoever it is; the raw loop is nobody."""
    rows = [["", *(measure.head for measure in MEASURES), "jobs", "lost", "twice"]]
    for score in standing.scores:
        if score.rounds:
            cells = [_cell(measure, score, standing) for measure in MEASURES]
            counted = [score.rounds[0].jobs, score.total("lost"), score.total("doubled")]
            rows.append([score.name, *cells, *(f"{count:,}" for count in counted)])
    if standing.raw:
        loop = [number(sum(standing.raw) / len(standing.raw)) if each.field == "drain" else "" for each in MEASURES]
        rows.append([f"*the raw loop: {standing.loop}*", *loop, "", "", ""])
    failed = [f"- **{score.name}**: {score.failed}" for score in standing.scores if score.failed]
    return "\n".join([markdown(rows), *([""] if failed else []), *failed])


def ratios(standing: Standing, ours: str) -> str:
    """Times better than each of the others; in bold where the other is ahead."""
    mine = next((score for score in standing.scores if score.name == ours and score.rounds), None)
    others = [score for score in standing.scores if not score.name.startswith(ours) and score.rounds]
    if mine is None or not others:
        return ""
    rows = [[f"times better {ours} is than", *_SHORT]]
    rows += [[other.name, *(_times(measure.ratio(mine, other)) for measure in MEASURES)] for other in others]
    return markdown(rows)


_SHORT = ["one by one", "bulk", "drain", "CPU", "CPU, all", "p50", "p99", "memory", "idle CPU"]


def settings(standings: Sequence[Standing]) -> str:
    """Versions and settings, peer by peer."""
    rows = [["store", "peer", "versions", "settings"]]
    for standing in standings:
        rows += [
            [standing.store, score.name, score.versions, score.words] for score in standing.scores if score.versions
        ]
    return markdown(rows)


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table; the first row is its head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    lines.insert(1, "| " + " | ".join("-" * max(3, width) for width in widths) + " |")
    return "\n".join(lines)


def number(value: float) -> str:
    """With as many digits as say something."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _cell(measure: Measure, score: Score, standing: Standing) -> str:
    value = score.figure(measure.field)
    if value is None:
        return _NONE
    return f"**{number(value)}**" if value == measure.best(standing) else number(value)


def _times(ratio: float | None) -> str:
    if ratio is None:
        return _NONE
    return number(ratio) if ratio >= 1 else f"**{number(ratio)}**"
