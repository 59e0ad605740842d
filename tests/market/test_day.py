"""The simulated day: the same from the same seed, with the shape that it promises."""

from collections import Counter
from itertools import islice, pairwise
from statistics import mean

import pytest

from penstock import Cache
from penstock.market import Books, Day

DAY = Day(orders=20_000, symbols=500, accounts=5000)
ORDERS = list(DAY)


def test_the_same_seed_is_the_same_day_and_another_is_another():
    assert list(DAY) == ORDERS
    assert list(Day(seed=8, orders=20_000, symbols=500, accounts=5000)) != ORDERS


def test_the_same_on_every_machine_and_python():
    assert Books().apply(ORDERS).checksum == 235661905488926195500181370374165027900


@pytest.mark.parametrize("count", [0, 1, 2, 389, 5000])
def test_as_many_as_asked_for(count):
    orders = list(Day(orders=count, first_id=100))
    assert [order.order_id for order in orders] == list(range(100, 100 + count))


def test_in_the_order_of_time_within_the_day():
    assert all(one.placed_at <= two.placed_at for one, two in pairwise(ORDERS))
    assert f"{ORDERS[0].placed_at:%H:%M}" == "09:30"
    assert f"{ORDERS[-1].placed_at:%H:%M}" == "15:59"
    assert {order.placed_at.microsecond % 1000 for order in ORDERS} == {0}


def test_bursts_at_open_and_close():
    minutes = Counter((order.placed_at.hour * 60 + order.placed_at.minute) - 570 for order in ORDERS)
    noon = mean(minutes[minute] for minute in range(150, 200))
    assert minutes[0] > 8 * noon
    assert minutes[389] > 5 * noon


def test_kinds_of_orders():
    kinds = Counter(order.type for order in ORDERS)
    assert kinds["market"] / len(ORDERS) == pytest.approx(0.3, abs=0.02)
    assert kinds["cancel"] / len(ORDERS) == pytest.approx(0.1, abs=0.02)
    assert all(order.quantity > 0 and order.price > 0 for order in ORDERS)
    assert all(round(order.price * 100) / 100 == order.price for order in ORDERS)


def test_a_cancel_repeats_an_earlier_limit_order_that_no_other_cancels():
    by_id = {order.order_id: order for order in ORDERS}
    cancels = [order for order in ORDERS if order.type == "cancel"]
    assert len({order.cancels for order in cancels}) == len(cancels)
    for cancel in cancels:
        assert cancel.cancels is not None
        order = by_id[cancel.cancels]
        assert order.type == "limit"
        assert order.order_id < cancel.order_id
        assert (order.symbol, order.side, order.quantity, order.price, order.account) == (
            cancel.symbol, cancel.side, cancel.quantity, cancel.price, cancel.account,
        )  # fmt: skip


def test_few_symbols_make_up_most_and_prices_walk():
    symbols = Counter(order.symbol for order in ORDERS)
    assert sum(count for _, count in symbols.most_common(50)) > len(ORDERS) * 0.6
    instruments = DAY.instruments()
    assert len({each.symbol for each in instruments}) == 500
    busiest = [order.price for order in ORDERS if order.symbol == instruments[0].symbol and order.type == "market"]
    assert len(set(busiest)) > len(busiest) / 3
    assert all(abs(two / one - 1) < 0.05 for one, two in pairwise(busiest))


def test_a_cache_of_accounts_and_instruments_hits_as_often_as_promised():
    cache: Cache[str, str] = Cache(str, max_items=10_000)
    for order in islice(Day(orders=1_000_000), 50_000):
        cache.get(order.symbol)
        cache.get(order.account)
    assert 0.7 <= cache.stats().hit_rate <= 0.9


def test_more_symbols_than_four_letters_have():
    from penstock.market.day import _symbol

    ranks = [0, 25, 26, 26**4 - 1, 26**4, 2 * 26**4 + 1]
    assert [_symbol(rank) for rank in ranks] == ["AAAA", "AAAZ", "AABA", "ZZZZ", "AAAA1", "AAAB2"]
