"""Places that rows are written into, exactly once; and the one table of their URL schemes."""

from __future__ import annotations

from importlib import import_module

from penstock.core.masking import without_password
from penstock.errors import ConfigError
from penstock.sinks.base import Sink, Target

#: scheme -> "module:class"; adding a sink is its file and its row here.
SCHEMES: dict[str, str] = {
    "mongodb": "penstock.sinks.mongodb.sink:MongoSink",
    "mongodb+srv": "penstock.sinks.mongodb.sink:MongoSink",
    "postgres": "penstock.sinks.postgres.sink:PostgresSink",
    "postgresql": "penstock.sinks.postgres.sink:PostgresSink",
    "sqlite": "penstock.sinks.sqlite.sink:SqliteSink",
}


def check_scheme(url: str) -> str:
    """The scheme of a sink's URL; raises `ConfigError` for one that no sink has."""
    scheme = url.partition("://")[0]
    if scheme not in SCHEMES:
        known = ", ".join(f"{scheme}://" for scheme in SCHEMES)
        raise ConfigError(
            f"can't write into {without_password(scheme) or url!r}: a URL to load into starts with {known}"
        )
    return scheme


def open_sink(url: str, target: Target) -> Sink:
    """Open the sink that a URL and a target name; raises `ConfigError` for a scheme that none has."""
    module, _, name = SCHEMES[check_scheme(url)].partition(":")
    sink: Sink = getattr(import_module(module), name)(url, target)
    sink.open()
    return sink
