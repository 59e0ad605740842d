"""Counts the words of many files: a job for each file, and reducers that add up ten counts at a time until there is one."""

import os
import random
from collections import Counter
from pathlib import Path

from penstock import Penstock, map_reduce
from penstock.work import Workers

app = Penstock()
FOLDER = Path(os.environ.get("EXAMPLE_FOLDER", "."))
WORDS = ("water", "mill", "gate", "wheel", "stone", "flour", "river", "dam")


@app.task(retries=3)
def count(name: str) -> dict[str, int]:
    """The words of one file."""
    return Counter((FOLDER / name).read_text().split())


@app.task(retries=3)
def add(counts: list[dict[str, int]]) -> dict[str, int]:
    """The sum of some counts."""
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return total


def demo() -> str:
    """Counts 60 files, and compares."""
    dice, names = random.Random(1), [f"{number}.txt" for number in range(60)]
    for name in names:
        (FOLDER / name).write_text(" ".join(dice.choices(WORDS, k=500)))
    with Workers(f"{__name__}:app", 2, quiet=True):
        counted = map_reduce(names, count, add, fan_in=10).delay().result(timeout=60)
    right = Counter(word for name in names for word in (FOLDER / name).read_text().split())
    return (
        f"{sum(counted.values())} words in {len(names)} files, {'as' if counted == right else 'not as'} counted at once"
    )
