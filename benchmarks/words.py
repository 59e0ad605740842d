"""Counting the words of one large text: by map-reduce in two processes, and by one program without a queue. Both count by `counted`."""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter
from pathlib import Path

from benchmarks.figures import AtLeast, Figure, alternate
from benchmarks.places import cleared, folder, url, worker
from benchmarks.tasks import app
from penstock import map_reduce

#: Parts of the text, two for each process, and results that one reducer gets: each of half a million bytes, and all are added up word by word.
_PARTS, _FAN_IN = 4, 4
_WORDS = 50_000
_BLOCK = 1 << 20


def counted(path: str, start: int, end: int) -> Counter[bytes]:
    """The words of the lines of a file that begin in a range of its bytes."""
    words: Counter[bytes] = Counter()
    with open(path, "rb") as file:
        if start:
            # The line that begins before the range is the part's before.
            file.seek(start - 1)
            file.readline()
        while (place := file.tell()) < end:
            words.update((file.read(min(_BLOCK, end - place)) + file.readline()).split())
    return words


@app.task
def count_part(part: tuple[int, int], path: str) -> dict[str, int]:
    """The words of a part of a file."""
    return {word.decode(): times for word, times in counted(path, *part).items()}


@app.task
def add_up(counts: list[dict[str, int]]) -> dict[str, int]:
    """The sum of some counts."""
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return total


def measure(quick: bool) -> Figure:
    """On SQLite; the text is in the system's cache for both."""
    megabytes, repeats = (40, 3) if quick else (200, 5)
    with folder() as place:
        text = place / "text"
        size = _written(text, megabytes)
        edges = [size * number // _PARTS for number in range(_PARTS + 1)]
        parts = list(itertools.pairwise(edges))
        queue = url(cleared(place / "words.db"))
        with app.elsewhere(queue), worker(queue, "-c", "2", app="benchmarks.words:app"):
            map_reduce([(0, 1000), (1000, 2000)], count_part.s(str(text)), add_up).delay().result()

            def ours() -> float:
                began = time.perf_counter()
                flow = map_reduce(parts, count_part.s(str(text)), add_up, fan_in=_FAN_IN).delay()
                assert sum(flow.result().values()) > size / 20
                return megabytes / (time.perf_counter() - began)

            def plain() -> float:
                began = time.perf_counter()
                total: Counter[bytes] = Counter()
                for part in parts:
                    total.update(counted(str(text), *part))
                assert total.total() > size / 20
                return megabytes / (time.perf_counter() - began)

            samples = alternate(repeats, ours, plain)
    what = f"SQLite: map-reduce word count of {megabytes} MB of text, prefork 2, beside one plain process"
    return samples.figure(what, "MB/s", "> 1.6 of the plain process", AtLeast(1.6))


def _written(path: Path, megabytes: int) -> int:
    """Write a text in which few words are frequent and most are rare, as in any; returns its bytes."""
    dice = random.Random(7)
    words = [
        "".join(dice.choices("etaoinshrdlu", k=dice.randint(2, 11))) + format(number, "x") for number in range(_WORDS)
    ]
    weights = [1 / rank for rank in range(1, _WORDS + 1)]
    chosen = dice.choices(words, weights, k=2_000_000)
    lines = [" ".join(chosen[start : start + 12]) for start in range(0, len(chosen), 12)]
    left = megabytes * 1_000_000
    with path.open("w") as file:
        while left > 0:
            dice.shuffle(lines)
            block = "\n".join(lines)[:left]
            left -= file.write(block + "\n")
    return path.stat().st_size
