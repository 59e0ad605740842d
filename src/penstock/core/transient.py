"""Errors that say nothing about the data: the other side was away, busy or cut off, and another try may succeed."""

from __future__ import annotations

from penstock.core.control import Control
from penstock.errors import JobCancelled, StoreError, TimeLimitExceeded

_OWN = (ConnectionError, TimeoutError, StoreError, TimeLimitExceeded, JobCancelled, Control)

#: Of drivers and clients that Penstock need not have: the classes, with all that come from them.
_NAMES = frozenset(
    {
        "aiohttp.client_exceptions.ClientConnectionError",
        "botocore.exceptions.HTTPClientError",
        "httpcore.NetworkError",
        "httpx.TransportError",
        "pika.exceptions.AMQPError",
        "psycopg.InterfaceError",
        "psycopg.OperationalError",
        "psycopg2.InterfaceError",
        "psycopg2.OperationalError",
        "pymongo.errors.ConnectionFailure",
        "pymongo.errors.WaitQueueTimeoutError",
        "redis.exceptions.ConnectionError",
        "redis.exceptions.TimeoutError",
        "requests.exceptions.ConnectionError",
        "requests.exceptions.Timeout",
        "sqlalchemy.exc.DisconnectionError",
        "sqlalchemy.exc.InterfaceError",
        "sqlalchemy.exc.OperationalError",
        "sqlite3.OperationalError",
        "urllib3.exceptions.HTTPError",
    }
)


def is_transient(error: BaseException) -> bool:
    """Would the same call have gone through at a better time, as far as its error tells?"""
    if isinstance(error, _OWN):
        return True
    return any(f"{kind.__module__}.{kind.__qualname__}" in _NAMES for kind in type(error).__mro__)
