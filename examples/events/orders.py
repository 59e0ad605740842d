"""The shop: it fills orders, and says so."""

import msgspec

from penstock import Penstock

app = Penstock()


class Order(msgspec.Struct):
    """An order as it goes from program to program."""

    number: int
    cents: int


def fill(numbers: range) -> int:
    """Take some orders and fill them; returns how many groups heard of all that."""
    taken = app.topic("orders.taken", Order).publish_many(Order(number, 100 + number) for number in numbers)
    filled = app.topic("orders.filled", Order).publish_many(Order(number, 100 + number) for number in numbers)
    return sum(taken) + sum(filled)
