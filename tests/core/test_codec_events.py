"""How events reach functions: the part of the codec that is about them."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from penstock.core.codec import ItemSignature, Signature, encode_value
from penstock.core.topics import body
from penstock.errors import PayloadError


class Filled(msgspec.Struct):
    id: int


def alone(event: Filled) -> Any:
    return event


def with_topic(event: Filled, topic: str) -> Any:
    return event, topic


def with_topic_by_name(event: Filled, *, topic: str = "none") -> Any:
    return event, topic


def without_hints(event: Any) -> Any:
    return event


def called(function: Callable[..., Any], payload: bytes) -> Any:
    signature = Signature("book", function)
    return signature.call(signature.decode(payload))


SENT = body("orders.filled", encode_value(Filled(7)))


def test_a_function_gets_the_event_and_its_topic_where_it_takes_that() -> None:
    assert called(alone, SENT) == Filled(7)
    assert called(with_topic, SENT) == called(with_topic_by_name, SENT) == (Filled(7), "orders.filled")
    assert called(without_hints, SENT) == {"id": 7}


def test_a_job_of_its_own_has_arguments() -> None:
    signature = Signature("book", with_topic_by_name)
    assert signature.call(signature.decode(signature.encode([Filled(1)], {}))) == (Filled(1), "none")
    assert called(alone, b'{"args": [{"id": 3}]}') == Filled(3)


def test_an_event_as_sql_writes_it() -> None:
    sent = b'{"event": {"id": 7}, "topic": "orders.filled"}'
    assert called(alone, sent) == Filled(7)
    assert called(with_topic, sent) == (Filled(7), "orders.filled")
    with pytest.raises(PayloadError, match=r"at `event.id`"):
        called(alone, b'{"event": {"id": "x"}, "topic": "orders.filled"}')
    with pytest.raises(PayloadError, match="called with an event"):
        called(lambda one, other: None, sent)


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (encode_value({"id": "x"}), r"book\(\): Expected `int`, got `str` - at `event.id`"),
        (encode_value([7]), r"book\(\): Expected `object`, got `array` - at `event`"),
        (b"\xc1", r"book\(\): "),
    ],
    ids=["field", "kind", "garbage"],
)
def test_an_event_that_does_not_fit_says_where(event: bytes, said: str) -> None:
    with pytest.raises(PayloadError, match=said):
        called(alone, body("orders.filled", event))


@pytest.mark.parametrize("payload", [b"\x82", b"\x82\xa1a\x01\xa1b\x02", b"\x82\xa5topic\x01\xa5event\x01"])
def test_what_is_no_event_is_refused(payload: bytes) -> None:
    with pytest.raises(PayloadError):
        called(alone, payload)


@pytest.mark.parametrize(
    "function",
    [
        lambda: None,
        lambda event, other: None,
        lambda event, topic, more: None,
        lambda *events: None,
        lambda event, **more: None,
        lambda *, event: None,
    ],
    ids=["none", "another", "three", "many", "named", "by name"],
)
def test_other_functions_can_not_be_called_so(function: Callable[..., Any]) -> None:
    assert not Signature("book", function).takes_event


@pytest.mark.parametrize("function", [alone, with_topic, with_topic_by_name, without_hints])
def test_these_can(function: Callable[..., Any]) -> None:
    assert Signature("book", function).takes_event


def test_a_job_whose_function_has_changed_is_refused() -> None:
    with pytest.raises(PayloadError, match=r"book\(\) is called with an event"):
        Signature("book", lambda: None).decode(SENT)
    with pytest.raises(PayloadError, match=r"book\(\) is called with an event"):
        Signature("book", lambda event, other: None).decode(SENT)


def test_an_event_is_an_item() -> None:
    def store(items: list[Filled]) -> None: ...

    signature = ItemSignature("store", store)
    assert signature.takes_event
    assert msgspec.structs.astuple(signature.decode(SENT)) == (Filled(7),)
