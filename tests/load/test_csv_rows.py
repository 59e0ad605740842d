"""CSV: what the csv module writes comes back, and a broken row costs only its first line."""

import csv
import io
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from source_files import SIZES, put, read

from penstock.errors import SourceError

FIELDS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('",\r\n'), max_size=12)
NAMES = st.lists(FIELDS.filter(str.strip), min_size=1, max_size=4, unique=True)
TABLES = NAMES.flatmap(
    lambda names: st.tuples(st.just(names), st.lists(st.lists(FIELDS, min_size=len(names), max_size=len(names))))
)


def written(header: list[str], rows: list[list[str]], end: str) -> bytes:
    text = io.StringIO()
    # Python 3.11 does not see by itself that a lone carriage return needs quotes.
    returns = any("\r" in field for row in [header, *rows] for field in row)
    writer = csv.writer(text, lineterminator=end, quoting=csv.QUOTE_ALL if returns else csv.QUOTE_MINIMAL)
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()


@given(
    TABLES, SIZES, st.booleans(), st.sampled_from(["a.csv", "a.csv.gz"]), st.sampled_from(["\n", "\r\n"]), st.booleans()
)
def test_round_trip(
    table: tuple[list[str], list[list[str]]], size: tuple[int, int], resume: bool, name: str, end: str, mark: bool
) -> None:
    header, rows = table
    if header[0].startswith("\ufeff"):
        return
    data = written(header, rows, end)
    with tempfile.TemporaryDirectory() as folder:
        path = put(Path(folder), name, b"\xef\xbb\xbf" * mark + data)
        whole = read(path, max_records=size[0], max_bytes=size[1], resume=resume)
    assert whole.bad == []
    assert [list(record) for record in whole.records] == [header] * len(rows)
    assert [list(record.values()) for record in whole.records] == [[field or None for field in row] for row in rows]
    starts, line = [], 1
    for row in [header, *rows]:
        starts.append(line)
        line += written(row, [], end).count(b"\n")
    assert whole.lines == starts[1:]


@given(TABLES, st.lists(st.tuples(st.integers(0, 2000), st.binary(max_size=3)), max_size=6), SIZES)
def test_mutated_bytes_raise_nothing_else(
    table: tuple[list[str], list[list[str]]], mutations: list[tuple[int, bytes]], size: tuple[int, int]
) -> None:
    data = bytearray(written(*table, "\n"))
    for place, new in mutations:
        at = place % (len(data) + 1)
        data[at : at + 1] = new
    with tempfile.TemporaryDirectory() as folder:
        path = put(Path(folder), "a.csv", bytes(data))
        with suppress(SourceError):
            read(path, max_records=size[0], max_bytes=size[1], resume=True)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"1,2", "3 fields expected, got 2"),
        (b"1,2,3,4", "3 fields expected, got 4"),
        (b'1,"2"x,3', "',' expected after '\"'"),
        (b"1,\xe4,3", "not UTF-8"),
        (b'1,"open,3', "a quote is opened and never closed"),
    ],
)
@pytest.mark.parametrize("max_records", [1, 1000])
def test_a_bad_row_costs_only_its_first_line(tmp_path: Path, line: bytes, reason: str, max_records: int) -> None:
    data = b"a,b,c\n0,0,0\n" + line + b"\n\n2,2,2\n3,3,3\n"
    whole = read(put(tmp_path, "x.csv", data), max_records=max_records)
    assert [record["a"] for record in whole.records] == ["0", "2", "3"]
    assert whole.lines == [2, 5, 6]
    [bad] = whole.bad
    assert (bad.line, bad.raw, bad.reason) == (3, line.decode("utf-8", "replace"), reason)


def test_a_stray_quote_does_not_swallow_rows_up_to_the_next_one(tmp_path: Path) -> None:
    data = b'a,b\n1,1\n2,"2\n3,3\n4,4\n5,"5"\n6,6\n'
    whole = read(put(tmp_path, "x.csv", data))
    assert [record["a"] for record in whole.records] == ["1", "3", "4", "5", "6"]
    assert [bad.line for bad in whole.bad] == [3]


def test_a_long_line_is_rejected(tmp_path: Path) -> None:
    data = b"a,b\n1,1\n2," + b"x" * 2_000_000 + b"\n3,3\n"
    whole = read(put(tmp_path, "x.csv", data), longest=300_000)
    assert [record["a"] for record in whole.records] == ["1", "3"]
    assert [(bad.line, bad.reason) for bad in whole.bad] == [(3, "longer than 300,000 bytes")]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"a,,c\n", "column 2 .* has no name"),
        (b"a,b,a\n", "'a' is twice"),
        (b'a,"b\n', "no CSV header that can be read"),
        (b"a,\xe4\n", "not UTF-8"),
        (b"a\rb\rc", "no CSV header that can be read"),
    ],
)
def test_a_header_that_can_not_be_used_is_an_error(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        read(put(tmp_path, "x.csv", data))


def test_a_header_alone_is_no_record(tmp_path: Path) -> None:
    assert read(put(tmp_path, "x.csv", b"a,b")).records == []
