"""What the sides of a SQLite queue have in common: the broker's connection, and how to write by it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

from penstock.brokers.sqlite.ends import Ends
from penstock.brokers.sqlite.moves import Moves
from penstock.stores.statements import Statements


class Parts(NamedTuple):
    """What a broker lends its sides while it is open.

    Parameters:
        path: of the file, for messages.
        transaction: begins one on the connection.
        moves: what changes jobs.
        ring: wakes the workers that listen at some sockets.
        ends: tells those who wait for jobs to end.
        joined: the connection of a transaction of the user's.
    """

    path: str
    connection: sqlite3.Connection
    transaction: Callable[[], AbstractContextManager[sqlite3.Connection]]
    moves: Moves
    sql: Statements
    ring: Callable[[Sequence[str]], None]
    ends: Ends
    joined: Callable[[object], sqlite3.Connection]


class Side:
    """A side of a queue. Made by the broker, whose connection it uses."""

    def __init__(self, parts: Parts) -> None:
        self._path = parts.path
        self._connection = parts.connection
        self._transaction = parts.transaction
        self._moves = parts.moves
        self._sql = parts.sql
        self._ring = parts.ring
        self._ends = parts.ends
        self._joined = parts.joined
