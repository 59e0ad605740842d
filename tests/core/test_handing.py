"""Payloads that results are added to."""

import msgspec
import pytest

from penstock.core import handing
from penstock.core.codec import Signature
from penstock.core.job import Failure
from penstock.errors import PayloadError

encode = msgspec.msgpack.encode


def total(items: list[int], unit: str = "", *, scale: int = 1) -> str:
    return f"{sum(items) * scale}{unit}"


def everything(*values: int, **named: str) -> str:
    return f"{values}{named}"


def called(function, payload):
    signature = Signature("task", function)
    return signature.call(signature.decode(payload))


@pytest.mark.parametrize("count", [0, 1, 40, 70_000])
def test_a_list_of_results_comes_first(count):
    payload = Signature("task", total).encode_open(("m",), {"scale": 2}, [1])
    handed = payload + handing.results([[encode(number) for number in range(count)]])
    assert called(total, handed) == f"{sum(range(count)) * 2}m"


def test_single_results_and_merged_lists_are_arguments_in_their_order():
    def step(one: int, many: list[int], merged: list[int], own: int) -> list[object]:
        return [one, many, merged, own]

    payload = Signature("task", step).encode_open((9,), {}, [0, 1, 2])
    stages = [[1], [2, 3], [4], [5, 6]]
    handed = payload + handing.results([[encode(number) for number in stage] for stage in stages])
    assert called(step, handed) == [1, [2, 3], [4, 5, 6], 9]


def test_functions_of_any_number_of_arguments():
    payload = Signature("task", everything).encode_open((2,), {"x": "y"}, [0])
    assert called(everything, payload + handing.results([[encode(1)]])) == "(1, 2){'x': 'y'}"


def test_a_failure_in_the_place_of_a_result():
    def step(items: list[int | Failure]) -> list[object]:
        return [getattr(item, "message", item) for item in items]

    payload = Signature("task", step).encode_open((), {}, [1])
    handed = payload + handing.results([[encode(1), encode(Failure("ValueError", "no"))]])
    assert called(step, handed) == [1, "no"]


@pytest.mark.parametrize(
    ("ending", "says"),
    [
        (b"", "was to get results"),
        (handing.results([]), "one result, and got 0"),
        (handing.results([[handing.NIL, handing.NIL]]), "one result, and got 2"),
        (handing.results([[encode("text")]]), "items"),
        (b"\xdd\xff\xff\xff\xff", "was to get results"),
    ],
)
def test_what_does_not_fit_says_so(ending, says):
    payload = Signature("task", total).encode_open((), {}, [0])
    with pytest.raises(PayloadError, match=says):
        Signature("task", total).decode(payload + ending)


def test_a_call_that_can_not_be_is_refused_at_once():
    with pytest.raises(TypeError, match="task"):
        Signature("task", total).encode_open(("m", 3), {}, [1, 1])
    with pytest.raises(TypeError, match="unit"):
        Signature("task", total).encode_open((object(),), {}, [1])


def test_what_is_shown_of_it():
    payload = handing.opened((1,), {"scale": 2}, [0, 1])
    assert handing.takes_results(payload)
    assert handing.own(payload) == [handing.AWAITED, handing.AWAITED, 1, 2]
    assert handing.own(payload + handing.results([[encode("a")], [encode("b"), encode("c")]])) == [
        "a",
        ["b", "c"],
        1,
        2,
    ]
    with pytest.raises(ValueError, match=r"."):
        handing.own(b"\x83\x00")


def test_a_payload_may_say_that_it_takes_more_than_there_can_be():
    assert handing.own(handing.opened((), {}, [2**40]) + handing.results([[b"\x07"]])) == [[7]]
