"""Sources: formats told apart, positions gone back to, and one clear line for what can't be read."""

import gzip
import os
from pathlib import Path

import pytest
from source_files import put, read

from penstock.errors import SourceError
from penstock.load.slices import Position
from penstock.load.sources import Source

LINES = b'{"a": 1}\n{"a": 2}\n'
ARRAY = b' \n[{"a": 1}, {"a": 2}]'
TABLE = b"a\n1\n2\n"


@pytest.mark.parametrize(
    ("name", "data", "format"),
    [
        ("x.jsonl", LINES, "jsonl"),
        ("x.ndjson", LINES, "jsonl"),
        ("x.json", LINES, "jsonl"),
        ("x.json", ARRAY, "json"),
        ("x.csv", TABLE, "csv"),
        ("x.txt", LINES, "jsonl"),
        ("x", ARRAY, "json"),
        ("x", TABLE, "csv"),
        ("x", b"", "jsonl"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("named", [False, True])
def test_the_format_is_told(tmp_path: Path, name: str, data: bytes, format: str, packed: bool, named: bool) -> None:
    path = put(tmp_path, name + ".gz" * (packed and named), data)
    if packed and not named:
        Path(path).write_bytes(gzip.compress(data))
    with Source.open(path) as source:
        assert source.position.format == format
        assert [str(record["a"]) for record in source.read(10, 1000).records] == ["1", "2"] * bool(data)


@pytest.mark.parametrize(
    "data", [LINES, ARRAY, TABLE, gzip.compress(LINES, mtime=0), b"\xef\xbb\xbf" + LINES, b"\xef\xbb\xbf" + ARRAY]
)
@pytest.mark.parametrize("resume", [False, True])
def test_standard_input(data: bytes, resume: bool) -> None:
    whole = read("-", stdin=data, max_records=1, resume=resume)
    assert [str(record["a"]) for record in whole.records] == ["1", "2"]


def test_a_pipe_gives_what_has_come(tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    with os.fdopen(theirs, "wb", buffering=0) as end, os.fdopen(ours, "rb") as stdin:
        end.write(b'{"a": 1}\n{"a"')
        source = Source.open("-", stdin=stdin)
        first = source.read(100, 10_000)
        end.write(b": 2}\n")
        second = source.read(100, 10_000)
        end.close()
        last = source.read(100, 10_000)
    assert [first.records, second.records, last.records] == [[{"a": 1}], [{"a": 2}], []]
    assert [first.end, second.end, last.end] == [False, False, True]
    assert source.size is None


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz"])
def test_progress_is_in_bytes_on_disk(tmp_path: Path, name: str) -> None:
    path = put(tmp_path, name, b"".join(b'{"a": %d}\n' % number for number in range(1000)))
    with Source.open(path) as source:
        assert source.size == os.path.getsize(path)
        while not source.read(100, 10_000).end:
            assert 0 <= source.consumed() <= source.size
        assert source.consumed() == source.size


def test_an_explicit_format_wins(tmp_path: Path) -> None:
    path = put(tmp_path, "x.jsonl", TABLE)
    assert read(path, format="csv").records == [{"a": "1"}, {"a": "2"}]
    with pytest.raises(SourceError, match="there is no format 'xml': name one of jsonl, json, csv"):
        Source.open(path, format="xml")


@pytest.mark.parametrize("data", [LINES, ARRAY, TABLE])
def test_going_on_at_the_end_gives_nothing(tmp_path: Path, data: bytes) -> None:
    path = put(tmp_path, "x", data)
    last = read(path).positions[-1]
    again = read(path, position=last)
    assert (again.records, again.bad) == ([], [])


def test_a_file_that_grew_is_gone_on_with(tmp_path: Path) -> None:
    path = put(tmp_path, "x.jsonl", LINES)
    last = read(path).positions[-1]
    put(tmp_path, "x.jsonl", LINES + b'{"a": 3}\n')
    again = read(path, position=last)
    assert (again.records, again.lines) == ([{"a": 3}], [3])


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz"])
def test_a_changed_file_is_an_error(tmp_path: Path, name: str) -> None:
    data = LINES * 10_000
    position = read(put(tmp_path, name, data), max_records=15_000).positions[0]
    put(tmp_path, name, data.replace(b"1", b"3", 1))
    with pytest.raises(SourceError, match="has changed since reading began"):
        Source.open(str(tmp_path / name), position=position)
    put(tmp_path, name, data[:100_000])
    with pytest.raises(SourceError, match="has become shorter"):
        Source.open(str(tmp_path / name), position=position)
    put(tmp_path, name, b"")
    with pytest.raises(SourceError, match="has changed"):
        Source.open(str(tmp_path / name), position=position)


def test_a_position_at_the_start_is_no_promise_about_the_file(tmp_path: Path) -> None:
    assert read(put(tmp_path, "x.jsonl", LINES), position=Position(fingerprint="3-abc")).lines == [1, 2]


def test_a_truncated_gzip_gives_its_good_records_first(tmp_path: Path) -> None:
    data = b"".join(b'{"a": %d, "b": "%x"}\n' % (number, hash(str(number))) for number in range(20_000))
    path = put(tmp_path, "x.jsonl.gz", data)
    Path(path).write_bytes(Path(path).read_bytes()[:-1000])
    with Source.open(path) as source, pytest.raises(SourceError, match="cut off inside its gzip data"):
        sum(len(slice.records) for slice in iter(lambda: source.read(100, 10_000), None))
    assert source.position.line > 15_000


def test_damaged_gzip_data_is_an_error(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(LINES * 1000))
    packed[-8] ^= 1
    path = tmp_path / "x.jsonl"
    path.write_bytes(packed)
    with pytest.raises(SourceError, match="damaged gzip data"):
        read(str(path))


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("x.jsonl.gz", LINES, "named .gz but is not gzipped"),
        ("x.json", "[{}]".encode("utf-16"), "not UTF-8: convert it first"),
        ("x.csv", "a,b\n1,2\n".encode("utf-16-le"), "not UTF-8: convert it first"),
        ("x.zip", b"PK\x03\x04....", "a zip archive"),
        ("x.bz2", b"BZh91AY&SY....", "packed with bzip2"),
        ("x", b"\x01\x02\x03", "name one of jsonl, json, csv"),
    ],
)
def test_what_can_not_be_read_is_one_clear_line(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(SourceError, match=message) as caught:
        Source.open(str(path))
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_errors(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"there is no file .*: check the path"):
        Source.open(str(tmp_path / "none"))
    with pytest.raises(SourceError, match="is a folder: name a file in it"):
        Source.open(str(tmp_path))
    with pytest.raises(SourceError, match="can't be read"):
        Source.open("a\x00b")


def test_closing_twice_is_harmless(tmp_path: Path) -> None:
    source = Source.open(put(tmp_path, "x.jsonl", LINES))
    source.close()
    source.close()
