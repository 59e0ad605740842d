"""One fault at every exchange with a server: each that a small day's work makes is, on a day of its own, cut off, lost, late, hung, or the last one of a process.

`chaos_day` is the work, `exchanges` the harm, and `days` the account: what ran is noted outside the store, and what became of it there is looked up by a connection
that nobody harms.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from days import Days, place_of
from exchanges import Exchanges, Fault
from oracle import FULL

from penstock.brokers import connect
from penstock.chaos.detour import target_of

#: Days of each kind of store, where it is not the long form: each takes a third of a second.
DAYS = 4
KINDS = ["postgresql", "mongodb", "redis", "rabbitmq"]


@pytest.fixture
def days(request: pytest.FixtureRequest, new_place: Callable[[str], str], tmp_path: Path) -> Iterator[Days]:
    """On a kind of server, with a proxy before it."""
    url = new_place(request.param)
    with closing(connect(url)) as broker:
        broker.open()
    proxy = Exchanges(target_of(url))
    made = Days(place_of(url, proxy.port, tmp_path), proxy, tmp_path)
    yield made
    made.close()
    proxy.close()


def harms(total: int, faults: list[Fault]) -> list[tuple[int, Fault]]:
    """Which exchange of so many is harmed on each day, and how; some of them, spread evenly, where it is not the long form."""
    if FULL:
        return [(at, fault) for fault in faults for at in range(1, total + 1)]
    return [(1 + day * 3 % DAYS * total // DAYS, faults[day % len(faults)]) for day in range(DAYS)]


@pytest.mark.parametrize("days", KINDS, indirect=True)
def test_a_fault_at_any_exchange_loses_nothing(days: Days) -> None:
    # The first has the server learn scripts and make queues.
    for _ in range(2):
        plain = days.day()
        plain.check()
        assert plain.excused() == set()
    harmed = 0
    faults = [fault for fault in Fault if days.is_hasty or not fault.hangs]
    chosen = harms(plain.steps, faults)
    for at, fault in chosen:
        one = days.day(at, fault)
        harmed += one.is_harmed
        try:
            one.check()
        except AssertionError as error:
            raise AssertionError(f"{fault.value} at exchange {at} of {plain.steps}: {error}\n{one}") from error
    # A day may have fewer exchanges than another, by the time that they take.
    assert harmed > len(chosen) * 0.7
