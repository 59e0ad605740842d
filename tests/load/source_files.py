"""What the tests of every format share: writing files, and reading them whole, in slices and with stops."""

import gzip
import io
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import strategies as st

from penstock.load.slices import Bad, Position
from penstock.load.sources import Source

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=6
)
RECORDS = st.lists(st.dictionaries(TEXT, VALUES, max_size=4), max_size=12)
SIZES = st.tuples(st.integers(1, 5), st.integers(1, 400))


class Whole(msgspec.Struct):
    """All that a source gave."""

    records: list[dict[str, Any]]
    lines: list[int]
    bad: list[Bad]
    positions: list[Position]


def put(folder: Path, name: str, data: bytes) -> str:
    """Write a file, gzipped when its name ends so."""
    path = folder / name
    path.write_bytes(gzip.compress(data, 1) if name.endswith(".gz") else data)
    return str(path)


def read(
    path: str,
    *,
    max_records: int = 1000,
    max_bytes: int = 1 << 20,
    resume: bool = False,
    position: Position | None = None,
    stdin: bytes | None = None,
    **options: Any,
) -> Whole:
    """Read a source to its end; with `resume` it is opened anew for every slice."""
    whole = Whole([], [], [], [])
    at, end = position or Position(), False
    while not end:
        given = None if stdin is None else io.BufferedReader(io.BytesIO(stdin))
        with Source.open(path, position=stored(at), stdin=given, **options) as source:
            while not end:
                slice = source.read(max_records, max_bytes)
                at, end = slice.position, slice.end
                assert len(slice.records) == len(slice.lines)
                whole.records += slice.records
                whole.lines += slice.lines
                whole.bad += slice.bad
                whole.positions.append(at)
                if resume:
                    break
    return whole


def stored(position: Position) -> Position:
    """A position as it comes back from where it was kept."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(position), type=Position)
