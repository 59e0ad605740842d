"""What can be wrong with the RabbitMQ of a queue, and with its backend, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing

from penstock.brokers.amqp.leaving import LEAVING
from penstock.brokers.amqp.link import Link
from penstock.brokers.amqp.names import Names
from penstock.brokers.amqp.url import AmqpUrl
from penstock.brokers.amqp.wire import Wire
from penstock.brokers.base import Broker
from penstock.brokers.diagnosis import Check, Grade
from penstock.errors import StoreError

_OLDEST = (3, 10)
_SECRET = re.compile(r"//([^:@/]*):?[^/]*@")


def diagnose(url: AmqpUrl, backend: Broker) -> Iterator[Check]:
    """Look at a server, and at what the backend says of itself."""
    found: list[str] = []
    link = Link(url, lambda: found.append(_dropped(link, Names(url.namespace))), lambda: None)
    link.open()
    version = link.version
    link.close()
    yield _version(version)
    if url.encrypted or url.local:
        yield Check("TLS", "on" if url.encrypted else "off, on this machine")
    else:
        yield Check("TLS", "off", Grade.WARN, "jobs and password cross the network in the clear: amqps://")
    yield Check("given up", found[0])
    yield _backend(url)
    if backend.schema().installed is not None:
        yield _leaving(backend)
    for check in backend.diagnose():
        yield Check(f"backend: {check.name}", check.found, check.grade, check.advice)


def was_used(url: AmqpUrl) -> bool:
    """Was there ever a queue in a namespace?"""
    found: list[str] = []
    link = Link(url, lambda: found.append(_told(link, Names(url.namespace).lanes)), lambda: None)
    link.open()
    link.close()
    return found[0] not in {"", "0"}


def _version(version: str) -> Check:
    name, _, number = version.partition(" ")
    parts = tuple(int(part) for part in re.findall(r"\d+", number)[:2])
    if name != "RabbitMQ" or parts >= _OLDEST:
        return Check("server", version or "not told")
    return Check("server", version, Grade.FAIL, "Penstock needs RabbitMQ 3.10 or newer: upgrade the server")


def _dropped(link: Link, names: Names) -> str:
    """What the queues gave up delivering and no worker has made dead letters of yet."""
    count = _told(link, names.dropped)
    return f"{count} messages wait to be dead letters" if count else "none: no queue is there yet"


def _told(link: Link, queue: str) -> str:
    """How many messages are in a queue; nothing where there is none."""
    try:
        return f"{Wire(link, lambda _: None).counts([queue])[0]:,}"
    except StoreError:
        return ""


def _leaving(backend: Broker) -> Check:
    """What a mover had taken out of RabbitMQ when it was killed."""
    with closing(backend):
        backend.open()
        count = sum(one.ready + one.delayed for one in backend.inspector().count() if one.queue.startswith(LEAVING))
    if not count:
        return Check("leaving", "no messages are on their way to another store")
    return Check(
        "leaving", f"{count:,} messages are on their way to another store, and no worker takes them", Grade.WARN,
        "where no penstock move runs, run the last one again: it goes on",
    )  # fmt: skip


def _backend(url: AmqpUrl) -> Check:
    place = _SECRET.sub(r"//\1:***@", url.backend.partition("?")[0])
    if url.given:
        return Check("backend", place)
    if url.local:
        return Check("backend", f"{place}, on this host only")
    return Check(
        "backend", f"{place}, on this host only", Grade.WARN,
        "results, batches, unique keys, limits and dead letters of other hosts are not seen here: name a store of all with ?backend=",
    )  # fmt: skip
