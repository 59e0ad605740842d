"""The URL of a queue in RabbitMQ: who to ask, and where everything else is kept."""

from __future__ import annotations

import hashlib
import os
import re
from urllib.parse import parse_qsl, quote, unquote, urlencode

import msgspec

from penstock.core.masking import without_password
from penstock.errors import ConfigError

_PORT, _TLS_PORT = 5672, 5671
_NAMESPACE = re.compile(r"[A-Za-z0-9_-]{1,60}\Z")
_FILES = ("ca", "cert", "key")
_OWN = ("namespace", "backend", "heartbeat", "tls", *_FILES)
_ADDRESS = re.compile(r"(amqps?)://(?:(.*)@)?([^/@]*)(?:/(.*))?\Z", re.DOTALL)
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\[\]:]*)(?::(\d{1,5}))?\Z")
_LOOPBACK = re.compile(r"127\.|localhost$|::1$")
_HEARTBEAT = 60
_DEFAULT = "penstock"


class AmqpUrl(msgspec.Struct, frozen=True):
    """A parsed URL; `shown` is fit for messages.

    `heartbeat` is the seconds after which a silent connection is taken for lost; twice that, for the server. `backend` is
    the URL of the store that keeps what RabbitMQ can't.
    """

    hosts: tuple[tuple[str, int], ...]
    shown: str
    user: str
    password: str
    vhost: str
    namespace: str
    backend: str
    given: bool
    heartbeat: int = _HEARTBEAT
    encrypted: bool = False
    verified: bool = True
    files: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"AmqpUrl({self.shown!r})"

    @property
    def local(self) -> bool:
        """Is the server on this machine?"""
        return all(_LOOPBACK.match(host) for host, _ in self.hosts)


def parse(url: str) -> AmqpUrl:
    """Read `amqp://user:password@host:5672/vhost?backend=postgresql://...`; `amqps://` is TLS, and several hosts are one cluster.

    Raises:
        ConfigError: with what to write, and without a password.
    """
    address, _, query = url.partition("?")
    shown = without_password(url).partition("?")[0]
    unread = ConfigError(
        f"write amqp://user:password@host:5672/vhost, with %40 for a @ in a name or password and so on, not {shown!r}"
    )
    found = _ADDRESS.match(address)
    if found is None or "\0" in url:
        raise unread
    scheme, secret, places, path = found.groups()
    encrypted = scheme == "amqps"
    hosts = tuple(_host(place, _TLS_PORT if encrypted else _PORT, unread) for place in places.split(","))
    given = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(set(given) - set(_OWN))
    if unknown:
        names = ", ".join(f"?{name}=" for name in _OWN)
        raise ConfigError(f"{scheme}:// takes {names}, not {', '.join(unknown)}; write & in ?backend= as %26")
    namespace = given.get("namespace", _DEFAULT)
    if not _NAMESPACE.match(namespace):
        raise ConfigError(f"namespace must be up to 60 letters, digits, _ and -, not {namespace!r}")
    heartbeat = given.get("heartbeat", str(_HEARTBEAT))
    if not re.fullmatch(r"[1-9]\d{0,3}", heartbeat):
        raise ConfigError(f"?heartbeat= is a number of seconds, not {heartbeat!r}")
    if given.get("tls", "verified") not in {"verified", "unverified"}:
        raise ConfigError("?tls= is verified or unverified")
    backend = given.get("backend") or default_backend(f"{places}/{path or ''}")
    if namespace != _DEFAULT:
        backend = _within(backend, namespace)
    if backend.startswith(("amqp:", "amqps:")):
        raise ConfigError(
            "?backend= is a store that keeps what RabbitMQ can't: postgresql://, mongodb://, redis:// or sqlite://"
        )
    user, _, password = (secret or "guest:guest").partition(":")
    return AmqpUrl(
        hosts, shown, unquote(user), unquote(password), unquote(path) if path else "/", namespace, backend, "backend" in given,
        int(heartbeat), encrypted, given.get("tls") != "unverified", {name: given[name] for name in _FILES if name in given},
    )  # fmt: skip


def _within(backend: str, namespace: str) -> str:
    """The same store under a namespace, unless it names one itself: what has another queue has another backend."""
    name = "schema" if backend.startswith("postgres") else "namespace"
    address, _, query = backend.partition("?")
    options = parse_qsl(query, keep_blank_values=True)
    return backend if name in dict(options) else f"{address}?{urlencode([*options, (name, namespace)])}"


def default_backend(place: str) -> str:
    """Where everything else is kept unless told otherwise: a file of this user's on this host, one for each queue."""
    folder = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    digest = hashlib.sha256(place.encode()).hexdigest()[:8]
    return f"sqlite:///{quote(os.path.join(folder, 'penstock', f'amqp-{digest}.db'))}"


def _host(place: str, port: int, unread: ConfigError) -> tuple[str, int]:
    found = _HOST.match(place)
    if found is None or int(found[2] or port) > 65535:
        raise unread
    return found[1].strip("[]") or "localhost", int(found[2] or port)
