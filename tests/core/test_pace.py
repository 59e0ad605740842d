"""When counters are worth another look."""

from penstock.core.pace import Pace


def test_the_first_news_is_looked_at_at_once() -> None:
    assert Pace(1000, 5.0).too_early(5.0) == 0.0


def test_the_next_look_is_half_way_to_the_end() -> None:
    pace = Pace(1000, 0.0)
    pace.seen(200, 0.08)
    # 800 took 0.08 s, so that 200 take 0.02 s.
    assert round(pace.too_early(0.08), 6) == 0.01
    pace.seen(20, 0.098)
    assert round(pace.too_early(0.098), 6) == 0.001
    assert pace.too_early(0.2) == 0.0


def test_it_is_never_long() -> None:
    pace = Pace(1_000_000, 0.0)
    pace.seen(999_999, 1.0)
    assert round(pace.too_early(1.0), 6) == 0.05


def test_news_of_others_become_worth_less() -> None:
    pace = Pace(1, 0.0)
    pace.seen(1, 0.01)
    assert round(pace.too_early(0.01), 6) == 0.005
    pace.seen(1, 10.0)
    assert round(pace.too_early(10.0), 6) == 0.05


def test_items_that_join_take_nothing_away() -> None:
    pace = Pace(1, 0.0)
    pace.seen(5, 0.01)
    assert round(pace.too_early(0.01), 6) == 0.005
