"""JSON Lines: every good line comes through, whatever the others are, in slices of any size."""

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from source_files import RECORDS, SIZES, put, read

from penstock.errors import SourceError
from penstock.load.slices import RAW_CHARACTERS


def is_good(line: bytes) -> bool:
    try:
        return isinstance(msgspec.json.decode(line), dict)
    except (ValueError, RecursionError):
        return False


@given(
    RECORDS,
    SIZES,
    st.booleans(),
    st.sampled_from(["a.jsonl", "a.jsonl.gz"]),
    st.sampled_from([b"\n", b"\r\n", b"\n\n"]),
)
def test_round_trip(records: list[dict[str, Any]], size: tuple[int, int], resume: bool, name: str, end: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = put(Path(folder), name, end.join(map(msgspec.json.encode, records)))
        whole = read(path, max_records=size[0], max_bytes=size[1], resume=resume)
    assert whole.records == records
    assert whole.lines == [1 + index * end.count(b"\n") for index in range(len(records))]
    assert whole.bad == []


@given(RECORDS, st.lists(st.tuples(st.integers(0, 2000), st.binary(max_size=3)), max_size=8), SIZES, st.booleans())
def test_no_good_line_is_lost_among_mutated_ones(
    records: list[dict[str, Any]], mutations: list[tuple[int, bytes]], size: tuple[int, int], resume: bool
) -> None:
    data = bytearray(b"\n".join(map(msgspec.json.encode, records)))
    for place, new in mutations:
        at = place % (len(data) + 1)
        data[at : at + 1] = new
    lines = bytes(data).removeprefix(b"\xef\xbb\xbf").split(b"\n")
    with tempfile.TemporaryDirectory() as folder:
        path = put(Path(folder), "a.jsonl", bytes(data))
        if bytes(data[:2]) in (b"\xff\xfe", b"\xfe\xff", b"\x1f\x8b") or not (any(data[:64:2]) and any(data[1:64:2])):
            with suppress(SourceError):
                read(path)
            return
        whole = read(path, max_records=size[0], max_bytes=size[1], resume=resume)
    good = [number for number, line in enumerate(lines, 1) if is_good(line)]
    assert whole.lines == good
    assert whole.records == [msgspec.json.decode(lines[number - 1]) for number in good]
    assert [bad.line for bad in whole.bad] == [n for n, line in enumerate(lines, 1) if line.strip() and n not in good]


@given(st.binary(max_size=300), SIZES)
def test_any_bytes_are_read_or_refused(data: bytes, size: tuple[int, int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = put(Path(folder), "a.jsonl", data)
        with suppress(SourceError):
            read(path, max_records=size[0], max_bytes=size[1])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"[1]", "expected an object, got array"),
        (b'"x"', "expected an object, got string"),
        (b"1.5", "expected an object, got number"),
        (b"true", "expected an object, got boolean"),
        (b"null", "expected an object, got null"),
        (b'{"a": 1', "broken JSON: Input data was truncated"),
        (b'{"a": tru}', "broken JSON: invalid character (byte 10)"),
        (b'{"a": "\xff"}', "not UTF-8: invalid start byte 0xff"),
        (b'{"a":' + b"[" * 5000, "nested too deeply"),
        (b'{"a": 1} {"b": 2}', "broken JSON: trailing characters (byte 10)"),
    ],
)
def test_a_bad_line_is_rejected_with_its_number_and_reason(tmp_path: Path, line: bytes, reason: str) -> None:
    whole = read(put(tmp_path, "a.jsonl", b'{"n": 1}\n' + line + b'\r\n{"n": 3}\n'))
    assert whole.records == [{"n": 1}, {"n": 3}]
    assert whole.lines == [1, 3]
    [bad] = whole.bad
    assert (bad.line, bad.reason) == (2, reason)
    assert bad.raw == line.decode("utf-8", "replace")[:RAW_CHARACTERS]


def test_records_that_share_a_line_or_span_two_are_not_taken_for_one_a_line(tmp_path: Path) -> None:
    whole = read(put(tmp_path, "a.jsonl", b'{"a":\n1} {"b": 2}\n{"c": 3}\n'))
    assert (whole.records, whole.lines) == ([{"c": 3}], [3])
    assert [bad.line for bad in whole.bad] == [1, 2]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
@pytest.mark.parametrize("ending", [b"\n", b""])
def test_a_line_that_is_too_long_is_rejected_without_being_gathered(tmp_path: Path, name: str, ending: bytes) -> None:
    long = b'{"x": "' + b"y" * 3_000_000 + b'"}' + ending
    path = put(tmp_path, name, b'{"n": 1}\n' + long + (b'{"n": 3}' if ending else b""))
    whole = read(path, longest=300_000, resume=True)
    assert whole.records == ([{"n": 1}, {"n": 3}] if ending else [{"n": 1}])
    [bad] = whole.bad
    assert (bad.line, bad.reason, len(bad.raw)) == (2, "longer than 300,000 bytes", RAW_CHARACTERS)


def test_a_slice_keeps_to_its_sizes_unless_one_record_is_larger(tmp_path: Path) -> None:
    path = put(tmp_path, "a.jsonl", b'{"n": 1}\n' * 100)
    assert [position.offset for position in read(path, max_bytes=20).positions][:3] == [18, 36, 54]
    assert [position.offset for position in read(path, max_bytes=1).positions][:3] == [9, 18, 27]
    assert [position.line for position in read(path, max_records=30).positions] == [31, 61, 91, 101]
