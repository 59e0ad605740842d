"""Places that rows are written into, exactly once; and the one table of their URL schemes."""

from __future__ import annotations

from importlib import import_module

from penstock.errors import ConfigError
from penstock.sinks.base import Sink, Target

#: scheme -> "module:class"; adding a sink is its file and its row here.
SCHEMES: dict[str, str] = {
    "mongodb": "penstock.sinks.mongodb:MongoSink",
    "mongodb+srv": "penstock.sinks.mongodb:MongoSink",
    "postgres": "penstock.sinks.postgres:PostgresSink",
    "postgresql": "penstock.sinks.postgres:PostgresSink",
    "sqlite": "penstock.sinks.sqlite:SqliteSink",
}


def open_sink(url: str, target: Target) -> Sink:
    """Open the sink that a URL and a target name; raises `ConfigError` for a scheme that none has."""
    scheme = url.partition("://")[0]
    try:
        module, _, name = SCHEMES[scheme].partition(":")
    except KeyError:
        known = ", ".join(f"{scheme}://" for scheme in SCHEMES)
        raise ConfigError(f"can't write into {scheme or url!r}: a URL to load into starts with {known}") from None
    sink: Sink = getattr(import_module(module), name)(url, target)
    sink.open()
    return sink
