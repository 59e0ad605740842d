"""Simulated intraday bars of US equities, as a file of tasks: the same seed writes the same bytes.

    python examples/equities/bars.py bars.jsonl                # 700,000 bars of 4,000 symbols
    python examples/equities/bars.py tasks.json.gz --count 5000 --symbols 100 --broken 20

A name with .json is one JSON array, one with .jsonl has a record on each line, and .gz compresses either.
"""

from __future__ import annotations

import argparse
import gzip
import math
import os
import random
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from itertools import product
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

COUNT = 700_000
SYMBOLS = 4_000
SEED = 7

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_EXCHANGES = ("XNYS", "XNAS", "ARCX", "XASE")
_EASTERN = timezone(timedelta(hours=-5))  # New York's time in winter, which the simulation never leaves
_FIRST = datetime(2026, 1, 5, 9, 30, tzinfo=_EASTERN)
_BARS_A_DAY = 78  # five minutes each, from 9:30 to 16:00
_CHUNK = 4_000


class Equity:
    """One simulated symbol, whose price walks from bar to bar.

    Parameters:
        chance: what its price, volatility and liquidity are drawn from, and each of its bars.
    """

    __slots__ = ("_chance", "_head", "_price", "_size", "_trades", "_wobble")

    def __init__(self, symbol: str, chance: random.Random) -> None:
        self._chance = chance
        self._head = f'"symbol":"{symbol}","exchange":"{chance.choices(_EXCHANGES, (55, 35, 7, 3))[0]}"'
        self._price = min(max(chance.lognormvariate(3.6, 1.0), 1.0), 4_000.0)
        self._wobble = chance.lognormvariate(-6.6, 0.4)  # of one bar; a median of 0.14 %
        self._trades = chance.lognormvariate(4.0, 1.4)  # in a bar around noon; few symbols make most of the trades
        self._size = chance.uniform(40, 180)  # shares in one trade

    def bar(self, task_id: int, time: str, activity: float) -> str:
        """Its next bar as JSON.

        Parameters:
            time: when the bar begins, by the exchange's clock.
            activity: how much is traded at this time of day, beside noon.
        """
        uniform = self._chance.random
        opening = self._price
        # The sum of three is close enough to a normal distribution, and a third of the time.
        wobble = self._wobble * math.sqrt(activity)
        closing = max(opening * (1 + wobble * 2 * (uniform() + uniform() + uniform() - 1.5)), 0.05)
        high = max(opening, closing) * (1 + wobble * uniform())
        low = min(opening, closing) * (1 - wobble * uniform())
        trades = 1 + int(self._trades * activity * (0.4 + 1.2 * uniform()))
        volume = trades + int(trades * self._size * (0.5 + uniform()))
        vwap = low + (high - low) * (0.3 + 0.4 * uniform())
        self._price = closing
        return (
            f'{{"task_id":{task_id},{self._head},"time":"{time}","open":{opening:.2f},"high":{high:.2f},'
            f'"low":{low:.2f},"close":{closing:.2f},"volume":{volume},"vwap":{vwap:.4f},"trades":{trades}}}'
        )


def bars(count: int = COUNT, symbols: int = SYMBOLS, seed: int = SEED, broken: int = 0) -> Iterator[str]:
    """Bars in the order a feed delivers them: all symbols of the first five minutes, then of the next.

    Parameters:
        count: how many, numbered by their `task_id` from 1.
        broken: how many of them are wrong: cut off in the middle, or with the `task_id` of the bar before.
    """
    chance = random.Random(seed)
    equities = [Equity(name, chance) for name in _names(symbols, chance)]
    # Even ones only, so that the bar before is good.
    wrong = set(chance.sample(range(2, count + 1, 2), broken))
    moments = _moments()
    for start in range(0, count, symbols):
        time, activity = next(moments)
        for task_id, equity in enumerate(equities[: count - start], start + 1):
            line = equity.bar(task_id, time, activity)
            yield line if task_id not in wrong else _spoilt(line, task_id)


def _names(count: int, chance: random.Random) -> list[str]:
    """Symbols of three letters and, where those don't suffice, four, in the order of the alphabet."""
    all_of = ["".join(letters) for letters in product(_LETTERS, repeat=3 if count <= 10_000 else 4)]
    if not 0 < count <= len(all_of):
        raise SystemExit(f"there can be 1 to {len(_LETTERS) ** 4:,} symbols, not {count:,}")
    return sorted(chance.sample(all_of, count))


def _moments() -> Iterator[tuple[str, float]]:
    """When each bar of the trading days begins, and how busy it is then: more at the open and the close."""
    day = _FIRST
    while True:
        if day.weekday() < 5:
            for number in range(_BARS_A_DAY):
                from_noon = abs(2 * number / (_BARS_A_DAY - 1) - 1)
                yield (day + timedelta(minutes=5 * number)).isoformat(), 1 + 3 * from_noon**4
        day += timedelta(days=1)


def _spoilt(line: str, task_id: int) -> str:
    if task_id % 4:
        return line[: len(line) // 2]
    return line.replace(f'"task_id":{task_id},', f'"task_id":{task_id - 1},', 1)


def write(path: Path, lines: Iterable[str], count: int) -> None:
    """Write the lines to a file, whole or not at all, with a progress bar where there is a terminal."""
    part = path.with_name(f"{path.name}.part")
    array = ".json" in path.suffixes
    before, between, after = ("[\n", ",\n", "\n]\n") if array else ("", "\n", "\n")
    columns = (TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(file=sys.stderr)
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    with bar as progress, _opened(part) as file:
        shown = progress.add_task(path.name, total=count)
        file.write(before.encode())
        for number, chunk in enumerate(_chunks(lines)):
            text = between.join(chunk)
            file.write((between + text if number else text).encode())
            progress.advance(shown, len(chunk))
        file.write(after.encode())
    os.replace(part, path)


def _chunks(lines: Iterable[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    for line in lines:
        chunk.append(line)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes] | gzip.GzipFile]:
    with path.open("wb") as file:
        if ".gz" not in path.suffixes:
            yield file
            return
        # A name and a time in the header would make the bytes differ from run to run.
        with gzip.GzipFile("", "wb", compresslevel=3, fileobj=file, mtime=0) as compressed:
            yield compressed


def main() -> None:
    """Write the file that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--count", type=int, default=COUNT, help="of bars; %(default)s without")
    parser.add_argument("--symbols", type=int, default=SYMBOLS, help="%(default)s without")
    parser.add_argument("--seed", type=int, default=SEED, help="%(default)s without")
    parser.add_argument("--broken", type=int, default=0, help="of the bars; none without")
    given = parser.parse_args()
    write(given.file, bars(given.count, given.symbols, given.seed, given.broken), given.count)
    print(f"{given.file}: {given.count:,} bars, {given.file.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
