"""How many bytes a value takes in memory, with all that it refers to."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sized
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType

#: Elements of one container that are looked at. Those of a larger one are taken to be like the ones that were.
_SAMPLE = 1000
#: Objects that are looked at in all, so that a value of any size is measured in some milliseconds.
_MOST = 20_000
_NOTHING_INSIDE = (str, bytes, bytearray, int, float, complex, memoryview, range)
#: What a value refers to without owning it.
_SHARED = (type, ModuleType, FunctionType, BuiltinFunctionType, MethodType)


def footprint(value: object) -> int:
    """Bytes of a value and of all that it owns: elements, keys, attributes. Each object counts once.

    A long container is sampled, at even distances, so the figure is an estimate there. Memory that an extension keeps outside of
    Python's objects counts where the object's `__sizeof__` says so, as that of NumPy arrays does.
    """
    if type(value) in (str, bytes, int, float):
        return sys.getsizeof(value)
    seen: set[int] = set()
    waiting: list[tuple[object, float]] = [(value, 1.0)]
    total = 0.0
    while waiting and len(seen) < _MOST:
        found, weight = waiting.pop()
        if id(found) in seen or found is None or isinstance(found, (bool, *_SHARED)):
            continue
        seen.add(id(found))
        total += sys.getsizeof(found) * weight
        if not isinstance(found, _NOTHING_INSIDE):
            waiting += [(part, weight * times) for parts in _parts(found) for part, times in _sample(parts)]
    return int(total)


def _parts(value: object) -> Iterable[Iterable[object]]:
    """The groups of objects that a value owns."""
    if isinstance(value, dict):
        return value.keys(), value.values()
    if isinstance(value, list | tuple | set | frozenset):
        return (value,)
    names: list[str] = []
    for each in type(value).__mro__:
        slots = each.__dict__.get("__slots__", ())
        names += (slots,) if isinstance(slots, str) else slots
    attributes = getattr(value, "__dict__", None)
    inside = [getattr(value, name, None) for name in names if name not in {"__dict__", "__weakref__"}]
    return (inside, (attributes,)) if isinstance(attributes, dict) else (inside,)


def _sample(parts: Iterable[object]) -> Iterable[tuple[object, float]]:
    """Some of the parts, each with how many it stands for."""
    count = len(parts) if isinstance(parts, Sized) else 0
    every = -(-count // _SAMPLE)
    if every <= 1:
        return [(part, 1.0) for part in parts]
    taken = [part for index, part in enumerate(parts) if index % every == 0]
    return [(part, count / len(taken)) for part in taken]
