"""What workers of the tests import: the rows of orders."""

from typing import Any


def orders(count: int, first: int = 1) -> list[dict[str, Any]]:
    return [{"id": number, "symbol": "ACME", "pieces": number % 7} for number in range(first, first + count)]


def priced(order: dict[str, Any]) -> dict[str, Any] | None:
    """An order's row; none for one of no pieces."""
    return {**order, "price": order["pieces"] / 4} if order["pieces"] else None
