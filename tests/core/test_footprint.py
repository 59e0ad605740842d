"""Sizes in memory, beside what Python's own allocator says."""

import tracemalloc
from dataclasses import dataclass

import msgspec
import pytest

from penstock.core.footprint import footprint


class Order(msgspec.Struct):
    symbol: str
    price: float
    tags: list[str]


@dataclass
class Account:
    name: str
    positions: dict[str, int]


class Slotted:
    __slots__ = ("one", "two")

    def __init__(self) -> None:
        self.one = "1" * 1000


def strings(count: int) -> list[str]:
    return [f"{number:050}" for number in range(count)]


MAKERS = {
    "bytes": lambda: b"x" * 100_000,
    "list": lambda: strings(500),
    "long list": lambda: strings(50_000),
    "dict": lambda: {text: [len(text) + index] * 5 for index, text in enumerate(strings(5000))},
    "set": lambda: set(strings(3000)),
    "structs": lambda: [Order(f"{number:020}", number + 0.5, strings(3)) for number in range(3000)],
    "dataclasses": lambda: [Account(f"{number:020}", {f"{number:030}": 100_000 + number}) for number in range(3000)],
}


@pytest.mark.parametrize("kind", MAKERS)
def test_near_to_what_was_allocated(kind):
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        value = MAKERS[kind]()
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert footprint(value) == pytest.approx(taken, rel=0.25)


def test_slots_count_and_those_that_are_not_set_do_not():
    assert 1000 < footprint(Slotted()) < 1300


def test_each_object_counts_once_and_a_circle_ends():
    text = "x" * 10_000
    assert footprint([text] * 50) < 12_000
    circle: list[object] = [text]
    circle.append(circle)
    assert footprint(circle) < 12_000


def test_classes_and_functions_are_not_owned():
    assert footprint([Order, test_each_object_counts_once_and_a_circle_ends, pytest, None, True]) < 200
