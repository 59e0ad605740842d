"""Limits: what may be written, who may pass, and the names of gates and lines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.limiter import (
    Limit,
    bounded,
    gate,
    gate_of,
    is_ordered,
    limit_name,
    line,
    look_again,
    opens_at,
    paid,
    queue_gate,
    queue_of,
    room,
    seconds_each,
)
from penstock.errors import ConfigError

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("rate", "seconds"),
    [("10/s", 0.1), ("600/m", 0.1), (" 1 / h ", 3600), ("5/10s", 2), ("0.5/s", 2), ("1/day", 86400), ("3/min", 20)],
)
def test_a_rate_is_so_many_in_so_much_time(rate: str, seconds: float) -> None:
    assert seconds_each(rate) == pytest.approx(seconds)


@pytest.mark.parametrize("rate", ["", "10", "0/s", "10/0s", "-1/s", "10/w", "s/10", "1e3/s", 10])
def test_what_is_no_rate_is_refused(rate: str) -> None:
    with pytest.raises(ConfigError, match="a rate is written"):
        Limit(rate)


@pytest.mark.parametrize(
    "wrong", [{}, {"burst": 3}, {"burst": 3, "concurrency": 1}, {"concurrency": 0}, {"rate": "1/s", "burst": 0},
              {"concurrency": 1.5}, {"concurrency": True}, {"ordered": True, "rate": "1/s"}, {"ordered": True, "concurrency": 1}],
)  # fmt: skip
def test_what_is_no_limit_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        Limit(**wrong)


@pytest.mark.parametrize(("rate", "burst"), [("1/h", 1), ("10/s", 1), ("20/s", 2), ("1000/s", 100)])
def test_without_a_burst_a_tenth_of_a_second_may_start_at_once(rate: str, burst: int) -> None:
    assert Limit(rate).at_once == burst
    assert room(Limit(rate), 0.0, 0, NOW) == burst


@given(
    every=st.sampled_from(["10/s", "7/m", "1000/s", "1/h"]),
    burst=st.integers(1, 5),
    pauses=st.lists(st.floats(0, 500), min_size=1, max_size=60),
)
def test_no_span_of_time_has_more_than_its_rate_and_one_burst(every: str, burst: int, pauses: list[float]) -> None:
    limit = Limit(every, burst=burst)
    each, now, until = seconds_each(every), NOW, 0.0
    started: list[tuple[float, int]] = []
    for pause in pauses:
        now += pause * each / 20
        free = room(limit, until, 0, now)
        assert 0 <= free <= burst
        until = paid(limit, until, free, now)
        started.append((now, free))
    for first, (begin, _) in enumerate(started):
        total = 0
        for end, count in started[first:]:
            total += count
            assert total <= burst + (end - begin) / each + 1e-3


@given(rate=st.sampled_from(["10/s", "7/m", "1000/s", "1/h"]), burst=st.integers(1, 300), ahead=st.floats(0, 1))
def test_a_gate_opens_when_it_says(rate: str, burst: int, ahead: float) -> None:
    limit = Limit(rate, burst=burst)
    until = NOW + ahead * burst * seconds_each(rate)
    opens = opens_at(limit, until, NOW)
    assert room(limit, until, 0, opens + 1e-6) >= 1
    assert opens <= NOW + max(seconds_each(rate) * burst, 0.02)


def test_what_did_not_start_is_given_back() -> None:
    limit = Limit("1/s", burst=3)
    until = paid(limit, 0.0, 3, NOW)
    assert room(limit, until, 0, NOW) == 0
    assert room(limit, paid(limit, until, -2, NOW), 0, NOW) == 2


def test_rate_and_concurrency_hold_together() -> None:
    limit = Limit("10/s", concurrency=2, burst=5)
    assert [room(limit, 0.0, running, NOW) for running in (0, 1, 2, 3)] == [2, 1, 0, 0]
    assert room(limit, paid(limit, 0.0, 5, NOW), 0, NOW) == 0
    assert room(Limit(concurrency=4), 0.0, 1, NOW) == 3
    assert paid(Limit(concurrency=4), 7.0, 1, NOW) == bounded(Limit(concurrency=4), 7.0, NOW) == 7.0
    assert opens_at(Limit(concurrency=4), 0.0, NOW) == NOW


def test_a_limit_that_became_shorter_is_not_waited_for_as_the_longer_one() -> None:
    until = paid(Limit("1/h"), 0.0, 1, NOW)
    assert bounded(Limit("10/s"), until, NOW) == pytest.approx(NOW + 0.1)


def test_two_that_come_in_the_other_order_take_nothing_back() -> None:
    until = paid(Limit("10/s"), 0.0, 1, NOW)
    assert bounded(Limit("10/s"), until, NOW - 1) == until
    assert room(Limit("10/s"), until, 0, NOW - 1) <= 0
    assert paid(Limit("10/s"), until, 1, NOW - 1) == pytest.approx(NOW + 0.2)


def test_when_to_look_again() -> None:
    assert look_again(None, fell_due=False, is_due=False) is None
    assert look_again(3.0, fell_due=False, is_due=False) == 3.0
    assert look_again(3.0, fell_due=True, is_due=True) == 0.02
    assert look_again(None, fell_due=False, is_due=True) == 0.05
    assert look_again(0.001, fell_due=True, is_due=True) == 0.001


@pytest.mark.parametrize("key", ["a", "a,b", "", "ü\n", 7, ("x", 1), "long" * 100, "\0\udcff"])
def test_a_line_tells_its_queue_and_gate(key: object) -> None:
    name = gate("shop.send", key)
    assert limit_name(name) == "shop.send"
    stored = line("mail", name)
    assert (queue_of(stored), gate_of(stored)) == ("mail", name)
    assert "\0" not in stored
    assert len(stored.encode()) < 1000


def test_long_keys_stay_apart() -> None:
    assert gate("t", "x" * 500) != gate("t", "x" * 501)


@pytest.mark.parametrize("queue", ["mail", "", ",", ",a", "a,b"])
def test_a_queue_of_its_own_is_none_of_a_line(queue: str) -> None:
    assert line(queue, None) == queue
    assert (queue_of(queue), gate_of(queue)) == (queue, None)


def test_gates_without_keys_and_of_queues() -> None:
    assert gate("t") == gate("t", None) == "t"
    assert limit_name("t") == "t"
    assert limit_name(queue_gate("mail,x")) == queue_gate("mail,x")


def test_a_gate_tells_whether_its_jobs_keep_their_order() -> None:
    ordered = gate("store", "AAPL", ordered=True)
    assert [is_ordered(name) for name in (ordered, gate("store", "AAPL"), None)] == [True, False, False]
    assert ordered != gate("store", "MSFT", ordered=True) != gate("store", ordered=True)
    assert gate_of(line("default", ordered)) == ordered
    assert Limit(ordered=True).ordered


@given(key=st.text(max_size=300))
def test_no_key_is_taken_for_another_kind_of_gate(key: str) -> None:
    assert is_ordered(gate("store", key, ordered=True))
    assert not is_ordered(gate("store", key))
    assert queue_of(line("default", gate("store", key, ordered=True))) == "default"
