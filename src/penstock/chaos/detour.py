"""The way to a server by a proxy of this machine."""

from __future__ import annotations

from urllib.parse import urlsplit

from penstock.core.masking import without_password
from penstock.errors import ConfigError

_PORTS = {"postgresql": 5432, "postgres": 5432, "mongodb": 27017, "redis": 6379, "valkey": 6379, "amqp": 5672}


def target_of(url: str) -> tuple[str, int]:
    """The host and port of a URL's server.

    Raises:
        ConfigError: there is none, or more than one, or who it is would be checked by its name.
    """
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    if parts.scheme not in _PORTS or not place or "," in place or "%2F" in place.upper():
        raise ConfigError(
            f"connections to {without_password(url)} can't be cut: that takes the URL of one server, by TCP and without TLS"
        )
    return parts.hostname or "localhost", parts.port or _PORTS[parts.scheme]


def by_way_of(url: str, port: int) -> str:
    """The URL by which the same is reached through a port of this machine."""
    parts = urlsplit(url)
    who, at, _ = parts.netloc.rpartition("@")
    url = parts._replace(netloc=f"{who}{at}127.0.0.1:{port}").geturl()
    if parts.scheme == "mongodb":
        # A replica set names its members: who looks for them would go round the proxy.
        kept = [word for word in parts.query.split("&") if word and not word.startswith("replicaSet=")]
        url = urlsplit(url)._replace(query="&".join([*kept, "directConnection=true"])).geturl()
    return url
