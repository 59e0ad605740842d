"""The table of URL schemes, and that nothing in it goes untested."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from penstock.brokers import SCHEMES, connect
from penstock.brokers.base import Broker
from penstock.errors import ConfigError

#: Schemes that name a broker which the contract runs on under another name.
ALIASES = {
    "postgres": "postgresql",
    "mongodb+srv": "mongodb",
    **dict.fromkeys(["amqps"], "amqp"),
    **dict.fromkeys(["rediss", "redis+sentinel", "rediss+sentinel", "valkey", "valkeys"], "redis"),
}


def test_every_broker_runs_the_contract(
    stores: dict[str, Callable[[pytest.FixtureRequest, Path], Callable[[], str]]],
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    tested = {make(request, tmp_path)().partition(":")[0] for make in stores.values()}
    assert tested == SCHEMES.keys() - ALIASES.keys()


@pytest.mark.parametrize("alias", sorted(SCHEMES.keys() & ALIASES.keys()))
def test_an_alias_names_the_same_broker(alias: str) -> None:
    assert SCHEMES[alias] == SCHEMES[ALIASES[alias]]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_row_names_a_broker(scheme: str) -> None:
    module, _, name = SCHEMES[scheme].partition(":")
    assert issubclass(getattr(import_module(module), name), Broker)


@pytest.mark.parametrize("url", ["", "jobs.db", "nonsense://host/db", "://", "sqlite", "sqlite3:///x", "http://[::1"])
def test_an_unknown_scheme_names_those_there_are(url: str) -> None:
    with pytest.raises(ConfigError, match="sqlite://") as caught:
        connect(url)
    assert "\n" not in str(caught.value)


def test_a_message_keeps_a_password_to_itself() -> None:
    with pytest.raises(ConfigError) as caught:
        connect("nonsense://me:s3cret@host/db")
    assert "s3cret" not in str(caught.value)


def test_connecting_touches_nothing(queue_url: str, queue_file: Path) -> None:
    connect(queue_url)
    assert not queue_file.exists()
