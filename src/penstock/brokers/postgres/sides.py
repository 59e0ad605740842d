"""The sides of the PostgreSQL broker that are objects of their own, and what it says of its tables."""

from __future__ import annotations

import time
from collections.abc import Iterable

from penstock.brokers.base import Broker
from penstock.brokers.diagnosis import Check, Schema
from penstock.brokers.postgres import doctor, transfer
from penstock.brokers.postgres import schema as schemas
from penstock.brokers.postgres.inspector import PostgresInspector
from penstock.brokers.postgres.link import Link
from penstock.brokers.postgres.memos import PostgresMemos
from penstock.brokers.postgres.schedules import PostgresSchedules
from penstock.brokers.postgres.workflows import PostgresWorkflows
from penstock.stores import postgres
from penstock.stores.statements import Statements


class Sides(Broker):
    """What is made of the broker's connection; `_schema` is its name."""

    _url: postgres.PostgresUrl
    _schema: str
    _sql: Statements
    _link: Link

    def schema(self) -> Schema:
        """See `Broker.schema`."""
        with postgres.connect(self._url) as connection, postgres.translating(self._url.shown):
            return schemas.read(connection, self._sql)

    def diagnose(self) -> Iterable[Check]:
        """See `Broker.diagnose`."""
        with postgres.connect(self._url) as connection, postgres.translating(self._url.shown):
            found = schemas.read(connection, self._sql)
            yield from doctor.diagnose(connection, self._schema, found, time.time())

    def ddl(self) -> str:
        """See `Broker.ddl`."""
        return schemas.ddl(self._schema)

    def inspector(self) -> PostgresInspector:
        """The reading side, on this broker's connection."""
        return PostgresInspector(self._link)

    def transfer(self) -> transfer.PostgresTransfer:
        """See `Broker.transfer`."""
        return transfer.PostgresTransfer(self._link)

    def schedules(self) -> PostgresSchedules:
        """See `Broker.schedules`."""
        return PostgresSchedules(self._link)

    def workflows(self) -> PostgresWorkflows:
        """See `Broker.workflows`."""
        return PostgresWorkflows(self._link)

    def memos(self) -> PostgresMemos:
        """See `Broker.memos`; on this broker's connection."""
        return PostgresMemos(self._link)
