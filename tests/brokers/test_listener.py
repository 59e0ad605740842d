"""Who listens to a broker."""

from __future__ import annotations

from penstock.brokers.listener import Listener, Waking


def test_who_makes_no_difference_wakes_at_all_news() -> None:
    woken: list[str] = []
    listener: Listener = Waking(lambda: woken.append("wake"))
    for tell in (listener.wake, listener.ready, listener.sent):
        tell()
    assert woken == ["wake"] * 3


def test_what_is_sent_is_ready_to_who_makes_no_difference_there() -> None:
    class Careful(Waking):
        def ready(self) -> None:
            """See `Listener.ready`."""
            told.append("ready")

    told: list[str] = []
    listener = Careful(lambda: told.append("wake"))
    listener.sent()
    listener.wake()
    assert told == ["ready", "wake"]


def test_who_does_not_say_when_it_is_idle_always_is() -> None:
    assert Waking(lambda: None).idle(3600)
