"""Arguments to bytes and back."""

import enum
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, TypedDict
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.codec import Signature, decode_value, encode_value
from penstock.errors import ConfigError, PayloadError


class Side(enum.Enum):
    BUY = "buy"
    SELL = "sell"


class Level(enum.IntEnum):
    LOW = 1


@dataclass
class Line:
    item: str
    price: Decimal
    tags: list[str] = field(default_factory=list)


class Point(msgspec.Struct):
    x: int
    y: int = 0


class Person(TypedDict):
    name: str
    age: int


ID = UUID("0190a5b0-1234-7abc-8def-0123456789ab")


def returning(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What a function returns when its arguments have travelled."""
    signature = Signature("app.task", function)
    return signature.call(signature.decode(signature.encode(args, kwargs)))


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (Line, Line("pen", Decimal("1.50"), ["blue"])),
        (list[Line], [Line("ink", Decimal("0.1"))]),
        (datetime, datetime(2024, 2, 29, 12, 30, 15, 123456, UTC)),
        (datetime, datetime(2024, 2, 29, 12, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))),
        (datetime, datetime(2024, 2, 29, 12, 30)),  # noqa: DTZ001
        (date, date(2024, 2, 29)),
        (Decimal, Decimal("123456789.000000000000000001")),
        (UUID, ID),
        (bytes, b"\0\xff"),
        (Side, Side.SELL),
        (Level, Level.LOW),
        (Point, Point(1, 2)),
        (Person, {"name": "Ada", "age": 36}),
        (dict[str, list[int]], {"a": [1]}),
        (set[int], {1, 2}),
        (tuple[int, str], (1, "a")),
        (int | None, None),
        (str, "\N{GRINNING FACE}\0"),
        (float, float("inf")),
        (int, 2**64 - 1),
        (int, -(2**63)),
    ],
    ids=repr,
)
def test_values_come_back_as_their_hint_says(hint: Any, value: Any) -> None:
    def task(x):
        return x

    task.__annotations__["x"] = hint
    back = returning(task, value)
    assert back == value
    assert type(back) is type(value)


def test_a_parameter_without_a_hint_takes_what_msgpack_can_tell() -> None:
    def task(x):
        return x

    assert returning(task, [1, "a", b"b", None, {"k": 1.5}]) == [1, "a", b"b", None, {"k": 1.5}]
    assert returning(task, datetime(2024, 1, 1, tzinfo=UTC)) == datetime(2024, 1, 1, tzinfo=UTC)


class TestKindsOfParameters:
    def test_positional_only_and_keyword_only(self) -> None:
        def task(a: int, /, b: int, *, c: int, d: int = 4) -> tuple[int, ...]:
            return a, b, c, d

        assert returning(task, 1, 2, c=3) == (1, 2, 3, 4)
        assert returning(task, 1, b=2, c=3, d=5) == (1, 2, 3, 5)

    def test_star_args_and_kwargs_are_typed(self) -> None:
        def task(a: Line, b: int = 2, *rest: Decimal, c: Side, **others: Point) -> Any:
            return a, b, rest, c, others

        line = Line("pen", Decimal(1))
        assert returning(task, line, c="buy") == (line, 2, (), Side.BUY, {})
        assert returning(task, line, 3, Decimal("0.5"), c=Side.SELL, p=Point(1)) == (
            line, 3, (Decimal("0.5"),), Side.SELL, {"p": Point(1)},
        )  # fmt: skip
        with pytest.raises(PayloadError, match="rest"):
            returning(task, line, 3, "much", c="buy")

    def test_names_that_mean_something_elsewhere(self) -> None:
        def task(self: int, args: int, kwargs: int, cls: int = 0, _hidden: int = 1) -> tuple[int, ...]:
            return self, args, kwargs, cls, _hidden

        assert returning(task, 1, 2, kwargs=3) == (1, 2, 3, 0, 1)

    def test_defaults_are_filled_in(self) -> None:
        def task(a: int = 1, b: list[int] = [2], c: Line = Line("pen", Decimal(1))) -> Any:  # noqa: B006, B008
            return a, b, c

        assert returning(task) == (1, [2], Line("pen", Decimal(1)))
        assert returning(task, b=[]) == (1, [], Line("pen", Decimal(1)))

    def test_a_default_of_none_makes_its_hint_optional(self) -> None:
        def task(a: int = None, b: Line = None) -> Any:  # noqa: RUF013
            return a, b

        assert returning(task) == (None, None)
        assert returning(task, 5) == (5, None)

    def test_a_payload_from_before_a_parameter_was_added_takes_its_default(self) -> None:
        def old(a: int) -> None: ...
        def new(a: int, b: int = 7) -> tuple[int, int]:
            return a, b

        signature = Signature("app.task", new)
        assert signature.call(signature.decode(Signature("app.task", old).encode((1,), {}))) == (1, 7)


def call(a: int, /, b: str = "", *, c: float = 0.0) -> None: ...


@pytest.mark.parametrize(
    ("args", "kwargs", "says"),
    [
        ((), {}, "a"),
        ((1, "b", 2.0), {}, ""),
        ((1,), {"d": 4}, "d"),
        ((1, "b"), {"b": "b"}, "b"),
        ((), {"a": 1}, "a"),
    ],
    ids=["missing", "too many", "unknown", "twice", "positional only"],
)
def test_a_wrong_call_is_a_type_error_that_names_the_task(args: Any, kwargs: Any, says: str) -> None:
    with pytest.raises(TypeError, match=rf"^app\.call\(\): .*{says}"):
        Signature("app.call", call).encode(args, kwargs)


def test_a_wrong_call_with_star_args_too() -> None:
    def task(a: int, *rest: int, **others: int) -> None: ...

    with pytest.raises(TypeError, match=r"app\.task\(\): missing a required argument: 'a'"):
        Signature("app.task", task).encode((), {"b": 1})


def circle() -> list[Any]:
    ring: list[Any] = []
    ring.append(ring)
    return ring


@pytest.mark.parametrize("value", [object(), "\udcff", 2**70, circle(), {"deep": [object()]}], ids=type)
def test_an_argument_that_cannot_be_encoded_is_a_type_error_that_names_it(value: object) -> None:
    def task(first: int, second: Any) -> None: ...

    with pytest.raises(TypeError, match=r"app\.task\(\): argument 'second' can't be encoded: "):
        Signature("app.task", task).encode((1, value), {})


class TestDecoding:
    def test_a_wrong_type_names_the_parameter(self) -> None:
        def task(zero: int, one: Line) -> None: ...

        signature = Signature("app.task", task)
        with pytest.raises(PayloadError, match=r"app\.task\(\): Expected `int`, got `str` - at `zero`"):
            signature.decode(encode_value(["x", {"item": "pen", "price": "1"}]))
        with pytest.raises(PayloadError, match=r"got `int` - at `one\.item`"):
            signature.decode(encode_value([0, {"item": 1, "price": "1"}]))

    @pytest.mark.parametrize(
        ("hint", "value"), [(int, "1"), (int, 1.0), (bool, "true"), (bool, 1), (float, "1.5"), (str, 1)]
    )
    def test_what_could_be_converted_is_another_type_all_the_same(self, hint: type, value: object) -> None:
        def task(value): ...

        task.__annotations__["value"] = hint
        with pytest.raises(PayloadError):
            Signature("app.task", task).decode(encode_value([value]))

    @pytest.mark.parametrize(
        "payload", [b"", b"\xc1", b"\x91", b"\x90", b"\xdd\xff\xff\xff\xff", b"\x91" * 5000, b"\xa1\xff"]
    )
    def test_bytes_that_are_no_arguments(self, payload: bytes) -> None:
        def task(a: list[Any]) -> None: ...

        with pytest.raises(PayloadError):
            Signature("app.task", task).decode(payload)

    @given(st.binary(max_size=60))
    def test_any_bytes_at_all(self, payload: bytes) -> None:
        def task(a: Line, b: datetime, *c: Decimal, **d: UUID) -> None: ...

        signature = Signature("app.task", task)
        try:
            signature.decode(payload)
        except PayloadError:
            return

    def test_hints_that_name_nothing_are_an_error_of_the_module(self) -> None:
        def task(a: "Missing") -> None: ...  # noqa: F821

        with pytest.raises(ConfigError, match="'Missing' is not defined"):
            Signature("app.task", task).encode((1,), {})


json_like = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)


@given(
    st.lists(json_like, max_size=4),
    st.dictionaries(st.from_regex(r"[a-z_]{1,5}", fullmatch=True), json_like, max_size=3),
)
def test_untyped_calls_come_back_the_same(args: list[Any], kwargs: dict[str, Any]) -> None:
    def task(*args, **kwargs):
        return list(args), kwargs

    assert returning(task, *args, **kwargs) == (args, kwargs)


@given(
    st.builds(Line, st.text(), st.decimals(allow_nan=False, allow_infinity=False), st.lists(st.text(), max_size=3)),
    st.datetimes(timezones=st.just(UTC)),
    st.uuids(),
    st.sampled_from(Side),
)
def test_typed_calls_come_back_the_same(line: Line, at: datetime, id: UUID, side: Side) -> None:
    def task(line: Line, at: datetime, *, id: UUID, side: Side) -> Any:
        return line, at, id, side

    assert returning(task, line, at, id=id, side=side) == (line, at, id, side)


@given(json_like)
def test_results_come_back_the_same(value: Any) -> None:
    assert decode_value(encode_value(value)) == value


def test_results_that_cannot_be_encoded_or_decoded() -> None:
    with pytest.raises(TypeError, match="object is unsupported"):
        encode_value(object())
    with pytest.raises(TypeError, match="surrogates"):
        encode_value("\ud800")
    with pytest.raises(PayloadError):
        decode_value(b"\xc1")
    with pytest.raises(PayloadError):
        decode_value(encode_value("x"), int)


def with_hints(
    number: int, when: datetime, name: str = "x", *, key: UUID | None = None, share: Decimal = Decimal("1.5")
) -> tuple[object, ...]:
    return number, when, name, key, share


def test_json_as_other_languages_write_it() -> None:
    signature = Signature("t", with_hints)
    id = "597907f9-43c0-4d23-aa67-d57c8d33f8e6"
    payload = json.dumps({"args": [1, "2026-01-02T03:04:05Z"], "kwargs": {"key": id, "share": "2.5"}}).encode()
    called = signature.call(signature.decode(payload))
    assert called == (1, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "x", UUID(id), Decimal("2.5"))
    by_name = json.dumps({"kwargs": {"when": "2026-01-02T03:04:05Z", "number": 2}}).encode()
    assert signature.call(signature.decode(by_name))[:2] == (2, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))


def test_json_for_variadic_and_for_no_arguments() -> None:
    def many(*numbers: int, **names: str) -> tuple[object, ...]:
        return numbers, names

    signature = Signature("t", many)
    assert signature.call(signature.decode(b'{"args": [1, 2], "kwargs": {"a": "b"}}')) == ((1, 2), {"a": "b"})
    with pytest.raises(PayloadError):
        signature.decode(b'{"args": ["x"]}')

    def none() -> int:
        return 7

    assert Signature("t", none).call(Signature("t", none).decode(b"{}")) == 7


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"{", "truncated"),
        (b'{"args": [1]}', "when"),
        (b'{"args": ["one", "2026-01-02T03:04:05Z"]}', "number"),
        (b'{"args": [1, "yesterday"]}', "when"),
        (b'{"args": [1, "2026-01-02T03:04:05Z", "x", "y", "z"]}', "positional"),
        (b'{"args": [1], "kwargs": {"number": 1}}', "number"),
        (b'{"kwargs": {"nobody": 1}}', "nobody"),
        (b'{"arguments": []}', "arguments"),
        (b'{"args": 1}', "args"),
        (b'{"args": [1, "2026-01-02T03:04:05Z"]} x', "trailing"),
        (b'{"args": ["\xff"]}', "utf-8"),
    ],
)
def test_json_that_does_not_fit_says_why(payload: bytes, said: str) -> None:
    with pytest.raises(PayloadError, match=said):
        Signature("t", with_hints).decode(payload)


def test_our_own_payloads_never_look_like_json() -> None:
    for count in range(40):
        names = ", ".join(f"a{n}=0" for n in range(count))
        space: dict[str, Any] = {}
        exec(f"def function({names}): pass", space)
        assert Signature("t", space["function"]).encode((), {})[:1] != b"{"
