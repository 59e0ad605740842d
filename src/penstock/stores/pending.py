"""A statement of PostgreSQL's in the making: several do their part of it, and it is sent at once, in one round trip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format


class Unfit(Exception):
    """What is to be done can't be a part of the statement: a transaction is needed."""


class Pending:
    """What is to be done by the same statement as something else, which is done only where this one's result is null."""

    def __init__(self) -> None:
        #: A query with one result, and its parameters by name; empty where there is nothing to be done.
        self.query = ""
        self.parameters: Mapping[str, object] = {}

    def add(self, query: str, parameters: Mapping[str, object]) -> None:
        """Have a query done; raises `Unfit` where there is one already."""
        if self.query:
            raise Unfit
        self.query, self.parameters = query, parameters


class Binary:
    """A value in its binary form, and the number of its type; 0 where the server is to tell from where it is put."""

    __slots__ = ("data", "oid")

    def __init__(self, data: bytes, oid: int = 0) -> None:
        self.data = data
        self.oid = oid


class BinaryDumper(Dumper):
    """Hands a `Binary` to psycopg."""

    format = Format.BINARY

    def dump(self, obj: Binary) -> Buffer:
        """The bytes."""
        return obj.data

    def get_key(self, obj: Binary, format: Any) -> Any:
        """Values of different types are written by different dumpers."""
        return (self.cls, obj.oid)

    def upgrade(self, obj: Binary, format: Any) -> Dumper:
        """A dumper that names the type of this value."""
        dumper = type(self)(self.cls)
        dumper.oid = obj.oid
        return dumper
