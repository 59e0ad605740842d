"""Which errors say nothing about the data."""

import json
import sqlite3

import psycopg
import pymongo.errors
import pytest

from penstock import GiveUp, Retry, Snooze
from penstock.core.transient import is_transient
from penstock.errors import PayloadError, StoreUnavailable, TimeLimitExceeded


class OwnError(psycopg.OperationalError):
    """Comes from a driver's."""


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError("gone"), TimeoutError("late"), TimeLimitExceeded("late"), StoreUnavailable("away"),
        Retry("later"), Snooze(1), GiveUp("no"), psycopg.OperationalError("gone"), OwnError("gone"),
        sqlite3.OperationalError("locked"), pymongo.errors.AutoReconnect("gone"),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_of_the_network_the_database_or_the_time(error: BaseException) -> None:
    assert is_transient(error)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("bad"), KeyError("a"), FileNotFoundError("a"), PayloadError("bad"), psycopg.DataError("bad"),
        psycopg.errors.UniqueViolation("twice"), sqlite3.IntegrityError("twice"), json.JSONDecodeError("bad", "", 0),
        pymongo.errors.DuplicateKeyError("twice"),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_of_the_data(error: BaseException) -> None:
    assert not is_transient(error)
