"""JSON arrays: streamed, resumed, and read on after what is broken."""

import json
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
from penstock.load.json_scan import element_end

LAYOUTS = ["line", "lines", "pretty", "wide"]


def laid_out(records: list[dict[str, Any]], layout: str) -> bytes:
    if layout == "pretty":
        return json.dumps(records, indent=2, ensure_ascii=False).encode()
    between = {"line": b",", "lines": b",\n", "wide": b" \r\n,\n "}[layout]
    return b"[" + between.join(map(msgspec.json.encode, records)) + b"]\n"


@given(RECORDS, SIZES, st.booleans(), st.sampled_from(["a.json", "a.json.gz"]), st.sampled_from(LAYOUTS))
def test_round_trip(records: list[dict[str, Any]], size: tuple[int, int], resume: bool, name: str, layout: str) -> None:
    data = laid_out(records, layout)
    with tempfile.TemporaryDirectory() as folder:
        path = put(Path(folder), name, data)
        whole = read(path, max_records=size[0], max_bytes=size[1], resume=resume)
    assert whole.records == records
    assert whole.bad == []
    lines = data.split(b"\n")
    assert all(b"{" in lines[number - 1] for number in whole.lines)
    assert whole.lines == sorted(whole.lines)
    if layout == "lines":
        assert whole.lines == list(range(1, len(records) + 1))


@given(
    RECORDS,
    st.lists(st.tuples(st.integers(0, 2000), st.binary(max_size=3)), max_size=4),
    SIZES,
    st.sampled_from(LAYOUTS),
)
def test_mutated_bytes_raise_nothing_else(
    records: list[dict[str, Any]], mutations: list[tuple[int, bytes]], size: tuple[int, int], layout: str
) -> None:
    data = bytearray(laid_out(records, layout))
    for place, new in mutations:
        at = place % (len(data) + 1)
        data[at : at + 1] = new
    with tempfile.TemporaryDirectory() as folder:
        path = put(Path(folder), "a.json", bytes(data))
        with suppress(SourceError):
            read(path, max_records=size[0], max_bytes=size[1], resume=True, format="json")


ORDER = {"id": 1, "symbol": "A", "legs": [{"x": 1}, {"x": 2}]}
BROKEN = [
    b'{"id": tru, "symbol": "B", "legs": [{"x": 1}, {"x": 2}]}',
    b'{"id": 2, "symbol": "B, "legs": []}',
    b'{"id": 2, "symbol": "B", "legs": [1, 2}',
    b'{"id": 2, "symbol": "B", "legs": []',
    b'{"id": 2, "symbol": "\xff"}',
    b'{"id": 2, "symbol": "a\nb"}',
    b'"id": 2, "symbol": "B"}',
    b"nonsense here",
    b"[1, 2]",
    b"5",
    b'"text, {}"',
    b"null",
]


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("between", [b",", b",\n", b"\n  ,\n  "])
@pytest.mark.parametrize("max_records", [1, 1000])
def test_a_broken_element_costs_only_itself(tmp_path: Path, broken: bytes, between: bytes, max_records: int) -> None:
    good = [msgspec.json.encode({**ORDER, "id": number}) for number in range(20)]
    data = b"[" + between.join([*good[:10], broken, *good[10:]]) + b"]"
    whole = read(put(tmp_path, "a.json", data), max_records=max_records)
    assert [record["id"] for record in whole.records] == list(range(20))
    [bad] = whole.bad
    assert bad.raw.startswith(broken.decode("utf-8", "replace").strip())
    assert bad.line == data[: data.index(between + broken) + len(between)].count(b"\n") + 1


@pytest.mark.parametrize(
    "cut", [b"", b",", b', {"id": 3, "na', b', {"id": 3', b', {"id": 3, "legs": [{"id": 1}, {"id": 2', b", 12."]
)
def test_a_truncated_array_gives_its_good_records_and_one_bad(tmp_path: Path, cut: bytes) -> None:
    path = put(tmp_path, "a.json", b'[{"id": 1}, {"id": 2}' + cut)
    whole = read(path, max_records=1, resume=True)
    assert whole.records == [{"id": 1}, {"id": 2}]
    assert len(whole.bad) <= 2
    assert whole.bad[-1].reason == "the file ends inside the array: it may be cut off" or len(whole.bad) == 1


def test_missing_and_doubled_commas_are_forgiven(tmp_path: Path) -> None:
    whole = read(put(tmp_path, "a.json", b'[{"a": 1} {"a": 2},, {"a": 3},]'))
    assert (whole.records, whole.bad) == ([{"a": 1}, {"a": 2}, {"a": 3}], [])


def test_arrays_in_a_row_read_as_one(tmp_path: Path) -> None:
    whole = read(put(tmp_path, "a.json", b'[{"a": 1}]\n[{"a": 2}]\n[]'), max_records=1, resume=True)
    assert (whole.records, whole.lines, whole.bad) == ([{"a": 1}, {"a": 2}], [1, 2], [])


def test_text_after_the_end_is_rejected_and_read_on(tmp_path: Path) -> None:
    whole = read(put(tmp_path, "a.json", b'[{"a": 1}], {"a": 2}]'))
    assert whole.records == [{"a": 1}, {"a": 2}]
    assert [bad.reason for bad in whole.bad] == ["text follows the end of the array"]


@pytest.mark.parametrize("data", [b"", b"   \n", b"hello", b"<xml/>", b"12"])
def test_what_is_no_array_at_all_is_an_error(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(SourceError, match="JSON array"):
        read(put(tmp_path, "tasks.json", data))


@pytest.mark.parametrize("nested", [False, True])
def test_a_large_file_over_many_blocks(tmp_path: Path, nested: bool) -> None:
    extra = {"legs": [{"x": 1}, {"y": [{"z": 2}]}]} if nested else {}
    records = [
        {"id": number, "price": number / 7, "text": "},{" if number % 100 == 0 else "ä", **extra}
        for number in range(20_000)
    ]
    path = put(tmp_path, "a.json", laid_out(records, "line"))
    assert read(path).records == records
    assert read(path, max_records=777, max_bytes=50_000).records == records


def test_an_element_that_is_too_long_is_rejected_without_being_gathered(tmp_path: Path) -> None:
    long = b'{"id": 2, "x": "' + b"y" * 3_000_000 + b'"}'
    path = put(tmp_path, "a.json", b'[{"id": 1, "x": ""}, ' + long + b', {"id": 3, "x": ""}]')
    whole = read(path, longest=300_000)
    assert [record["id"] for record in whole.records] == [1, 3]
    [bad] = whole.bad
    assert (bad.line, bad.reason) == (1, "longer than 300,000 bytes")


def test_one_record_larger_than_many_blocks(tmp_path: Path) -> None:
    records = [{"x": "y" * 1_000_000}, {"x": ["{" * 300_000]}]
    assert read(put(tmp_path, "a.json", laid_out(records, "line"))).records == records


@given(
    st.recursive(st.text(max_size=5) | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
)
def test_the_end_of_an_element_is_found(value: object) -> None:
    text = msgspec.json.encode(value)
    assert element_end(text + b",{", 0, final=True) == len(text)
    if text[:1] in (b"{", b"[", b'"'):
        assert all(element_end(text[:cut], 0, final=False) is None for cut in range(1, len(text)))
