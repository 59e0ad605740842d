"""The one table of broker URL schemes; a broker's module is imported when its scheme is first used."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from penstock.brokers.base import Broker
from penstock.core.masking import without_password
from penstock.errors import ConfigError

#: scheme -> "module:class"; adding a broker is its file and its row here.
SCHEMES: dict[str, str] = {
    "postgresql": "penstock.brokers.postgres.broker:PostgresBroker",
    "postgres": "penstock.brokers.postgres.broker:PostgresBroker",
    "sqlite": "penstock.brokers.sqlite.broker:SqliteBroker",
    "mongodb": "penstock.brokers.mongodb.broker:MongoBroker",
    "mongodb+srv": "penstock.brokers.mongodb.broker:MongoBroker",
    "redis": "penstock.brokers.redis.broker:RedisBroker",
    "rediss": "penstock.brokers.redis.broker:RedisBroker",
    "redis+sentinel": "penstock.brokers.redis.broker:RedisBroker",
    "rediss+sentinel": "penstock.brokers.redis.broker:RedisBroker",
    "valkey": "penstock.brokers.redis.broker:RedisBroker",
    "valkeys": "penstock.brokers.redis.broker:RedisBroker",
    "amqp": "penstock.brokers.amqp.broker:AmqpBroker",
    "amqps": "penstock.brokers.amqp.broker:AmqpBroker",
}


def load_broker(url: str) -> Callable[[str], Broker]:
    """Load the broker that a URL names, and its driver; returns what makes one of the URL.

    Raises:
        ConfigError: no broker has its scheme, or the driver is not installed.
    """
    scheme = url.partition("://")[0]
    try:
        module, _, name = SCHEMES[scheme].partition(":")
    except KeyError:
        known = ", ".join(f"{scheme}://" for scheme in SCHEMES)
        raise ConfigError(
            f"no broker for {without_password(scheme) or url!r}: a broker's URL starts with {known}"
        ) from None
    broker: Callable[[str], Broker] = getattr(import_module(module), name)
    return broker


def connect(url: str) -> Broker:
    """Make the broker that a URL names, not yet opened; raises `ConfigError` as `load_broker` does, and for what it can't use."""
    return load_broker(url)(url)
