"""What became of each item of a shared call."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import BatchError, GiveUp, Retry, Snooze
from penstock.batching.call import Calls, Fate, fates
from penstock.errors import PayloadError, TaskError, TimeLimitExceeded


def drive(calls: Calls, function: Callable[[Sequence[int]], Any]) -> list[Fate]:
    """Make the calls that are asked for."""
    try:
        wanted = next(calls)
        while True:
            try:
                value = function(wanted)
            except BaseException as error:  # noqa: BLE001
                wanted = calls.throw(error)
            else:
                wanted = calls.send(value)
    except StopIteration as stop:
        return list(stop.value)


class Function:
    """Fails for the items that are bad, and notes its calls."""

    def __init__(self, bad: dict[int, Exception] | None = None) -> None:
        self.bad = bad or {}
        self.calls: list[list[int]] = []
        self.done: list[int] = []

    def __call__(self, items: Sequence[int]) -> None:
        self.calls.append(list(items))
        for each in items:
            if each in self.bad:
                raise self.bad[each]
        self.done += items


def errors(found: list[Fate]) -> dict[int, BaseException]:
    return {index: fate.error for index, fate in enumerate(found) if fate.error is not None}


def test_one_call_is_all_where_it_goes_well() -> None:
    function = Function()
    assert drive(fates(1000), function) == [Fate()] * 1000
    assert function.calls == [list(range(1000))]


def test_no_items_are_no_call() -> None:
    function = Function()
    assert drive(fates(0), function) == []
    assert function.calls == []


@given(st.integers(1, 200), st.sets(st.integers(0, 199)))
def test_exactly_the_bad_ones_fail_each_with_its_own_error(count: int, numbers: set[int]) -> None:
    bad: dict[int, Exception] = {number: ValueError(number) for number in numbers if number < count}
    function = Function(bad)
    assert errors(drive(fates(count), function)) == bad
    assert function.done == [index for index in range(count) if index not in bad]


@pytest.mark.parametrize(
    "error",
    [ConnectionError("gone"), TimeLimitExceeded("late"), Retry("later"), Snooze(1), GiveUp("no"), SystemExit(1)],
    ids=lambda error: type(error).__name__,
)
def test_what_says_nothing_about_the_data_is_the_error_of_all(error: BaseException) -> None:
    calls = 0

    def function(items: Sequence[int]) -> None:
        nonlocal calls
        calls += 1
        raise error

    assert errors(drive(fates(10), function)) == dict.fromkeys(range(10), error)
    assert calls == 1


def test_what_was_done_before_the_connection_broke_is_done() -> None:
    gone, bad = ConnectionError("gone"), ValueError("bad")

    def function(items: Sequence[int]) -> None:
        if 0 in items:
            raise bad
        if items[0] >= 4:
            raise gone

    found = drive(fates(8), function)
    assert errors(found) == {0: bad} | dict.fromkeys(range(4, 8), gone)
    assert found[1:4] == [Fate()] * 3


def test_a_value_for_each_and_an_exception_is_its_error() -> None:
    bad = ValueError("bad")
    assert drive(fates(3), lambda items: ["a", bad, None]) == [Fate("a"), Fate(error=bad), Fate()]
    assert drive(fates(2), lambda items: ("a", "b")) == [Fate("a"), Fate("b")]


@pytest.mark.parametrize("value", [None, 5, "ab", {"a": 1, "b": 2}], ids=repr)
def test_what_is_no_list_is_nobodys_value(value: object) -> None:
    assert drive(fates(2), lambda items: value) == [Fate(), Fate()]


def test_a_list_of_another_length_is_an_error_and_no_call_is_repeated() -> None:
    function = Function()

    def wrong(items: Sequence[int]) -> list[int]:
        function(items)
        return [1]

    found = errors(drive(fates(3), wrong))
    assert {type(error) for error in found.values()} == {PayloadError}
    assert str(found[2]) == "a list of 1 came back for 3 items: return one value for each, or none"
    assert len(function.calls) == 1


def test_a_batch_error_names_the_ones_that_failed() -> None:
    bad, later = ValueError("bad"), Retry("later")

    def function(items: Sequence[int]) -> None:
        raise BatchError({1: bad, 3: later})

    assert errors(drive(fates(5), function)) == {1: bad, 3: later}


def test_a_batch_error_within_a_part_counts_from_its_beginning() -> None:
    bad, other = ValueError("bad"), ValueError("other")

    def function(items: Sequence[int]) -> None:
        if 0 in items:
            raise bad
        if 5 in items:
            raise BatchError({items.index(5): other})

    assert errors(drive(fates(8), function)) == {0: bad, 5: other}


@pytest.mark.parametrize("index", [3, -1, "a"])
def test_a_batch_error_for_an_item_that_is_not_there_is_the_error_of_all(index: Any) -> None:
    def function(items: Sequence[int]) -> None:
        raise BatchError({index: ValueError("bad")})

    found = errors(drive(fates(3), function))
    assert str(found[0]) == f"BatchError names items by their index, 0 to 2, not {index!r}"
    assert len(found) == 3


def test_words_in_a_batch_error_will_do() -> None:
    def function(items: Sequence[int]) -> None:
        raise BatchError({0: "no such account"})  # what a type checker would not pass

    (error,) = errors(drive(fates(2), function)).values()
    assert isinstance(error, TaskError)
    assert str(error) == "no such account"


class TestInOrder:
    """Items with equal keys."""

    def test_none_is_done_after_one_that_failed(self) -> None:
        bad = ValueError("bad")
        function = Function({4: bad})
        found = drive(fates(12, lambda index: index % 3), function)
        assert errors(found) == {4: bad}
        assert [index for index, fate in enumerate(found) if fate.skipped] == [7, 10]
        assert sorted(function.done) == [0, 1, 2, 3, 5, 6, 8, 9, 11]

    @given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.sets(st.integers(0, 59)))
    def test_each_key_is_done_up_to_its_first_bad_one(self, keys: list[int], bad: set[int]) -> None:
        function = Function({index: ValueError(index) for index in bad})
        found = drive(fates(len(keys), keys.__getitem__), function)
        for key in set(keys):
            own = [index for index, each in enumerate(keys) if each == key]
            first = next((place for place, index in enumerate(own) if index in bad), len(own))
            assert [index for index in function.done if keys[index] == key] == own[:first]
            assert [found[index].error is not None for index in own[first : first + 1]] == [True] * (first < len(own))
            assert all(found[index].skipped for index in own[first + 1 :])

    def test_a_key_with_an_error_in_the_list_goes_on_no_further(self) -> None:
        """The call had them all, so those behind it are done as well."""
        bad = ValueError("bad")
        assert errors(drive(fates(3, lambda index: 0), lambda items: [bad, 1, 2])) == {0: bad}
