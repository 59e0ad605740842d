"""What a benchmark gives: figures, each beside its raw loop and its goal."""

from __future__ import annotations

import gc
from collections.abc import Callable
from statistics import median

import msgspec


class Figure(msgspec.Struct, frozen=True):
    """One measured figure.

    Parameters:
        what: was measured.
        measured: the median of the repeats, in `unit`.
        low, high: the least and the most of the repeats.
        raw: the median of the raw loop, in the same unit; None where nothing is comparable.
        ratio: the median of the ratios of neighbouring repeats, `measured / raw`.
        ratio_low, ratio_high: the least and the most of those.
        goal: in words.
        met: whether the goal is.
        least: the ratio that the goal names, where it names one.
    """

    what: str
    unit: str
    measured: float
    low: float
    high: float
    raw: float | None
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    goal: str
    met: bool
    least: float | None = None

    @property
    def fallen(self) -> bool:
        """Is even the best pair of repeats below half of the goal? No busy machine does that; a change of the code may."""
        return self.least is not None and self.ratio_high is not None and self.ratio_high < self.least / 2


class Samples(msgspec.Struct, frozen=True):
    """Repeats that alternated: ours and the raw loop's, in pairs."""

    ours: list[float]
    raw: list[float]

    @property
    def ratio(self) -> float:
        """Of ours to the raw loop, the median over the pairs."""
        return median(self.ratios)

    @property
    def ratios(self) -> list[float]:
        """One for each pair."""
        return [mine / bare for mine, bare in zip(self.ours, self.raw, strict=True)]

    def figure(self, what: str, unit: str, goal: str, met: Callable[[Samples], bool]) -> Figure:
        """The figure that these samples make."""
        return Figure(
            what, unit, median(self.ours), min(self.ours), max(self.ours), median(self.raw), self.ratio,
            min(self.ratios), max(self.ratios), goal, met(self), met.ratio if isinstance(met, AtLeast) else None,
        )  # fmt: skip


def alternate(repeats: int, ours: Callable[[], float], raw: Callable[[], float]) -> Samples:
    """Measure both in turn, the first of a pair changing, so that what else the machine does falls on both."""
    mine: list[float] = []
    bare: list[float] = []
    for repeat in range(repeats):
        for measure, into in ((ours, mine), (raw, bare))[:: 1 if repeat % 2 else -1]:
            gc.collect()
            into.append(measure())
    return Samples(mine, bare)


def alone(what: str, unit: str, samples: list[float], goal: str, met: Callable[[float], bool]) -> Figure:
    """A figure without a raw loop."""
    middle = median(samples)
    return Figure(what, unit, middle, min(samples), max(samples), None, None, None, None, goal, met(middle))


class AtLeast(msgspec.Struct, frozen=True):
    """The goal that the ratio reaches a number."""

    ratio: float

    def __call__(self, samples: Samples) -> bool:
        """Is it met?"""
        return samples.ratio >= self.ratio
