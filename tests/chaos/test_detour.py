"""How a URL is led through a proxy."""

import pytest

from penstock.chaos.detour import by_way_of, target_of
from penstock.errors import ConfigError


@pytest.mark.parametrize(
    ("url", "target", "through"),
    [
        ("postgresql://ada:p%40w@db:6543/shop?schema=q", ("db", 6543), "postgresql://ada:p%40w@127.0.0.1:9/shop?schema=q"),
        ("redis://db/0", ("db", 6379), "redis://127.0.0.1:9/0"),
        ("amqp://ada:pw@[::1]:5673/", ("::1", 5673), "amqp://ada:pw@127.0.0.1:9/"),
        ("mongodb://db/shop?replicaSet=rs0&namespace=n", ("db", 27017), "mongodb://127.0.0.1:9/shop?namespace=n&directConnection=true"),
        ("mongodb://db/shop", ("db", 27017), "mongodb://127.0.0.1:9/shop?directConnection=true"),
    ],
)  # fmt: skip
def test_there_is_one_server_to_be_cut_off_from(url: str, target: tuple[str, int], through: str) -> None:
    assert target_of(url) == target
    assert by_way_of(url, 9) == through


@pytest.mark.parametrize(
    "url",
    ["sqlite:///jobs.db", "mongodb://one:pw@a,b/shop", "rediss://db/0", "redis+sentinel://a/main", "redis://%2Frun%2Fredis.sock/0", "postgresql:///shop"],
)  # fmt: skip
def test_where_there_is_none_it_says_so(url: str) -> None:
    with pytest.raises(ConfigError, match="can't be cut: that takes the URL of one server") as caught:
        target_of(url)
    assert "pw" not in str(caught.value)
