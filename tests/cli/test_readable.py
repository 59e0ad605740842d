"""Values, times and durations in words."""

import json
import time
from datetime import UTC, datetime

import msgspec
import pytest

from penstock.cli.readable import ago, arguments, call, duration, iso, moment, plain, readable, rough
from penstock.core.job import JobRecord
from penstock.core.states import State


def record(payload: bytes, packed: bool = False) -> JobRecord:
    return JobRecord(bytes(16), "t", "q", 5, State.READY, 0, 0, 0.0, payload, packed=packed)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ('a"b\n\x1b[1m', '"a\\"b\\n\\u001b[1m"'),
        ("\u202e\u200b", '"\\u202e\\u200b"'),
        ("x" * 1000, f'"{"x" * 200}"… (1,000 characters)'),
        (b"", "<0 bytes>"),
        (b"\x00" * 1000, f"<1,000 bytes: {'00' * 16}…>"),
        (None, "null"),
        (True, "true"),
        (1.5, "1.5"),
        (2**63, str(2**63)),
        ([1, [2, "x"]], '[1, [2, "x"]]'),
        (list(range(25)), f"[{', '.join(map(str, range(20)))}, … (25)]"),
        ({"a": None, 1: 2}, '{"a": null, 1: 2}'),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
    ],
)
def test_a_value_on_one_line(value, shown):
    assert readable(value) == shown


def test_deep_values_end_somewhere():
    value = []
    for _ in range(500):
        value = [value]
    assert readable(value).count("[") < 10
    assert json.loads(msgspec.json.encode(plain(value)))


def test_a_plain_value_can_be_json():
    value = {1: (b"x", float("nan")), b"k": msgspec.msgpack.Ext(5, b"y"), "t": datetime(2026, 1, 2, tzinfo=UTC)}
    assert json.loads(msgspec.json.encode(plain(value))) == {
        "1": ["eA==", None],
        "<1 bytes: 6b>": {"code": 5, "data": "eQ=="},
        "t": "2026-01-02T00:00:00Z",
    }


def test_calls():
    assert call(["a", 1], ["x", "y", "z"]) == 'x="a", y=1'
    assert call(["a", 1], None) == '"a", 1'
    assert call(["a", 1], ["x"]) == '"a", 1'
    assert call(5, ["x"]) == "5"


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x91", b"\x91" * 9000, b"\x05", b"\xa1x"])
@pytest.mark.parametrize("packed", [False, True])
def test_garbage_is_a_problem_and_no_error(payload, packed):
    decoded = arguments(record(payload, packed))
    assert decoded.values is None
    assert decoded.problem


def test_an_estimate_has_few_digits():
    assert [rough(number) for number in (0, 7, 1234, 100_000, 9_987_654)] == [
        "~0",
        "~7",
        "~1,230",
        "~100,000",
        "~9,990,000",
    ]


def test_times():
    assert iso(None) is None
    assert iso(0.5) == "1970-01-01T00:00:00.500Z"
    assert iso(1e30) is None
    assert "1e+30" in moment(1e30)
    assert ago(time.time() - 7200) == "2 h ago"
    assert ago(time.time() + 600) == "in 10 min"
    assert [duration(n) for n in (0.04, 9.9, 60, 120, 86400 * 3)] == ["0.0 s", "9.9 s", "60 s", "2 min", "3 d"]
