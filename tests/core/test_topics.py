"""Topics: patterns against a plain reading of them, and the jobs that events become."""

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penstock.core.ids import uuid7s
from penstock.core.topics import Event, Router, Subscription, body, check_pattern, check_topic, job_id, matches, opened
from penstock.errors import ConfigError

words = st.sampled_from(["a", "b", "ab"])
topics = st.lists(words, min_size=1, max_size=6).map(".".join)
patterns = st.lists(st.one_of(words, st.sampled_from(["*", "#", "#"])), min_size=1, max_size=6).map(".".join)


def stands_for(pattern: list[str], topic: list[str]) -> bool:
    """What AMQP says, word by word and without a thought of the time it takes."""
    if not pattern:
        return not topic
    head, *rest = pattern
    if head == "#":
        return any(stands_for(rest, topic[count:]) for count in range(len(topic) + 1))
    return bool(topic) and head in {"*", topic[0]} and stands_for(rest, topic[1:])


@given(patterns, topics)
@example("#", "a")
@example("a.#", "a")
@example("#.a.#", "a")
@example("*.#", "a")
@example("#.*", "a")
@example("*.*", "a")
@example("a.*", "a")
@example("a.#.b", "a.b")
@example("a", "ab")
@example("ab", "a")
def test_a_pattern_stands_for_what_amqp_says(pattern: str, topic: str) -> None:
    assert matches(pattern, topic) is stands_for(pattern.split("."), topic.split("."))


def test_many_wildcards_take_no_time() -> None:
    assert not matches(".".join(["#", "a"] * 60 + ["b"]), ".".join(["a"] * 120))


@pytest.mark.parametrize("wrong", ["", ".", "a.", ".a", "a..b", "a\nb", "é" * 128, "orders.*", "#"])
def test_what_is_no_topic(wrong: str) -> None:
    with pytest.raises(ConfigError):
        check_topic(wrong)


@pytest.mark.parametrize("wrong", ["", "a..b", "a\tb", "orders*", "a.#b", "**"])
def test_what_is_no_pattern(wrong: str) -> None:
    with pytest.raises(ConfigError):
        check_pattern(wrong)


@pytest.mark.parametrize("good", ["orders", "orders.filled", "Aufträge.neu", "a b.c-d_e"])
def test_what_is_both(good: str) -> None:
    assert check_topic(good) == check_pattern(good) == good


def subscription(group: str, task: str, pattern: str, **more: object) -> Subscription:
    return msgspec.convert({"group": group, "task": task, "pattern": pattern, "queue": group, **more}, Subscription)


def events(*topics: str) -> list[Event]:
    ids = uuid7s(len(topics), 1_700_000_000_000, bytes(range(10)))
    return [Event(id, topic, topic.encode()) for id, topic in zip(ids, topics, strict=True)]


def test_each_handler_gets_an_event_once() -> None:
    router = Router(
        [
            subscription("ledger", "book", "orders.*"),
            subscription("ledger", "book", "orders.filled"),
            subscription("ledger", "count", "#"),
            subscription("mail", "tell", "orders.#", priority=9, gate="tell", at_most_once=True),
        ]
    )
    (event, other) = events("orders.filled", "refunds")
    out = router.fan_out([event, other])
    assert [(job.task, job.queue, job.payload) for job in out.jobs] == [
        ("book", "ledger", b"orders.filled"),
        ("count", "ledger", b"orders.filled"),
        ("tell", "mail", b"orders.filled"),
        ("count", "ledger", b"refunds"),
    ]
    assert [(job.priority, job.gate, job.at_most_once) for job in out.jobs][2:] == [(9, "tell", True), (5, None, False)]
    assert out.groups == [2, 1]


def test_an_event_that_nobody_wants_is_no_job() -> None:
    router = Router([subscription("ledger", "book", "orders.*")])
    assert router.fan_out(events("refunds")) == router.fan_out(events("refunds"))
    assert (router.fan_out(events("a", "b")).jobs, router.fan_out(events("a", "b")).groups) == ([], [0, 0])


def test_jobs_have_ids_of_their_own_that_are_always_the_same() -> None:
    subscriptions = [subscription(f"g{n}", f"t{n % 7}", "#") for n in range(50)]
    sent = events(*["a"] * 20)
    jobs = Router(subscriptions).fan_out(sent).jobs
    assert len({job.id for job in jobs}) == 1000
    assert [job.id for job in Router(subscriptions[::-1]).fan_out(sent).jobs] == [job.id for job in jobs]
    for event in sent:
        for one in subscriptions:
            id = job_id(event.id, one)
            assert (id[:6], id[6] >> 4, id[8] >> 6, id[13:]) == (event.id[:6], 7, 2, event.id[13:])


def test_a_router_forgets_topics_before_there_are_too_many() -> None:
    router = Router([subscription("g", "t", "*")])
    for n in range(5000):
        assert router.fan_out(events(f"t{n}")).groups == [1]
    assert len(router._known) <= 4096


def test_what_a_job_carries() -> None:
    payload = body("orders.filled", msgspec.msgpack.encode({"id": 7}))
    assert msgspec.msgpack.decode(payload) == {"topic": "orders.filled", "event": {"id": 7}}
    found = opened(payload)
    assert found is not None
    assert (found.topic, msgspec.msgpack.decode(found.content)) == ("orders.filled", {"id": 7})
    assert opened(b'{"event": {"id": 7}, "topic": "orders.filled"}') == found


@pytest.mark.parametrize("payload", [b"", b"payload", b"\x82", b"\x82\x01\x02\x03\x04", b"\x91\x01", b'{"args": []}'])
def test_what_is_no_events_job(payload: bytes) -> None:
    assert opened(payload) is None
