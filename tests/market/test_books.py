"""The books: a fold that does not depend on the order, and a checksum that tells what went wrong."""

import datetime as dt
import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.market import Books, Day, Order

AT = dt.datetime(2025, 1, 2, 10, tzinfo=dt.UTC)
ORDERS = list(Day(orders=2000, symbols=20, accounts=50))
WHOLE = Books().apply(ORDERS)


def test_positions_and_cash():
    books = Books().apply(
        [
            Order(1, "AAAA", "buy", "limit", 10, 2.5, "ada", AT),
            Order(2, "AAAA", "sell", "market", 4, 3.0, "ada", AT),
            Order(3, "AAAB", "buy", "limit", 7, 1.1, "bob", AT),
            Order(4, "AAAB", "buy", "cancel", 7, 1.1, "bob", AT, 3),
        ]
    )
    assert books.orders == 4
    assert books.positions == {("ada", "AAAA"): 6}
    assert books.cash == {"ada": -2500 + 1200, "bob": 0}


@settings(max_examples=20)
@given(st.integers(), st.integers(0, len(ORDERS)))
def test_any_order_and_any_split_make_the_same_books(seed, cut):
    shuffled = list(ORDERS)
    random.Random(seed).shuffle(shuffled)
    assert Books().apply(shuffled[:cut]) + Books().apply(shuffled[cut:]) == WHOLE


@pytest.mark.parametrize("extra", [1, 2, 3])
def test_what_was_applied_more_than_once_shows(extra):
    again = Books().apply(ORDERS + ORDERS[:1] * extra)
    assert again.checksum != WHOLE.checksum


def test_what_is_missing_or_replaced_shows():
    assert Books().apply(ORDERS[1:]).checksum != WHOLE.checksum
    assert Books().apply([ORDERS[1], *ORDERS[1:]]).checksum != WHOLE.checksum


@pytest.mark.parametrize("field", Order.__struct_fields__)
def test_every_field_counts(field):
    changed: dict[str, object] = {
        "side": "sell" if ORDERS[0].side == "buy" else "buy",
        "type": "cancel",
        "cancels": 5,
        "placed_at": AT,
    }
    if field not in changed:
        value = getattr(ORDERS[0], field)
        changed[field] = value + ("x" if isinstance(value, str) else 1)
    one = msgspec.structs.replace(ORDERS[0], **{field: changed[field]})
    assert Books().apply([one, *ORDERS[1:]]).checksum != WHOLE.checksum


def test_a_moment_is_the_same_in_every_zone():
    zone = dt.timezone(dt.timedelta(hours=2))
    moved = [msgspec.structs.replace(order, placed_at=order.placed_at.astimezone(zone)) for order in ORDERS]
    assert Books().apply(moved) == WHOLE


def test_orders_go_through_json_unchanged():
    text = msgspec.json.encode(ORDERS)
    back = msgspec.json.decode(text, type=list[Order])
    random.Random(1).shuffle(back)
    assert Books().apply(back) == WHOLE


def test_empty_books_share_nothing():
    Books().apply(ORDERS)
    assert Books() == Books(0, {}, {}, 0)
