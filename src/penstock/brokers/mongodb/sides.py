"""The sides of the MongoDB broker that are objects of their own, and what it says of its collections."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import NamedTuple

from pymongo.client_session import ClientSession

from penstock.brokers.base import Broker
from penstock.brokers.diagnosis import Check, Schema
from penstock.brokers.mongodb import doctor
from penstock.brokers.mongodb.claims import Claims
from penstock.brokers.mongodb.endings import Endings
from penstock.brokers.mongodb.inbox import Inbox
from penstock.brokers.mongodb.inspector import MongoInspector
from penstock.brokers.mongodb.layout import Layout
from penstock.brokers.mongodb.memos import MongoMemos
from penstock.brokers.mongodb.schedules import MongoSchedules
from penstock.brokers.mongodb.storing import Storing
from penstock.brokers.mongodb.transfer import MongoTransfer
from penstock.brokers.mongodb.workflows import MongoWorkflows
from penstock.errors import ConfigError, StoreError
from penstock.stores import mongodb as store
from penstock.stores.mongodb_clock import ServerClock


class Parts(NamedTuple):
    """What there is while the broker is open."""

    client: store.Client
    layout: Layout
    clock: ServerClock
    storing: Storing
    endings: Endings
    claims: Claims
    inbox: Inbox
    replicated: bool


class Sides(Broker):
    """What is made of the broker's client, or of one that a transaction of the user's belongs to."""

    _url: store.MongoUrl
    _namespace: str
    _parts: Parts | None

    @property
    def _opened(self) -> Parts:
        if self._parts is None:
            raise StoreError(f"the queue {self._url.shown} is closed: call open() first")
        return self._parts

    def _translating(self) -> AbstractContextManager[None]:
        return store.translating(self._url.shown)

    def schema(self) -> Schema:
        """See `Broker.schema`."""
        with store.connect(self._url) as client, self._translating():
            return Layout(client, self._url.database, self._namespace).schema()

    def diagnose(self) -> Iterable[Check]:
        """See `Broker.diagnose`."""
        with store.connect(self._url) as client, self._translating():
            layout = Layout(client, self._url.database, self._namespace)
            yield from doctor.diagnose(client, self._url, layout.indexes(), layout.schema(), time.time())

    def inspector(self) -> MongoInspector:
        """The reading side, on this broker's client."""
        parts = self._opened
        return MongoInspector(self._url.shown, parts.layout, parts.clock, parts.storing, replicated=parts.replicated)

    def transfer(self) -> MongoTransfer:
        """See `Broker.transfer`; on this broker's client."""
        parts = self._opened
        return MongoTransfer(self._url.shown, parts.layout, parts.clock, parts.storing)

    def schedules(self) -> MongoSchedules:
        """See `Broker.schedules`; on this broker's client."""
        parts = self._opened
        return MongoSchedules(self._url.shown, parts.layout, parts.clock, parts.storing)

    def workflows(self) -> MongoWorkflows:
        """See `Broker.workflows`; on this broker's client."""
        parts = self._opened

        def joined(tx: object) -> tuple[Storing, ClientSession]:
            session = self._joined(tx)
            return self._in(session).storing, session

        return MongoWorkflows(self._url.shown, parts.layout, parts.clock, parts.storing, self.inspector(), joined)

    def memos(self) -> MongoMemos:
        """See `Broker.memos`; on this broker's client."""
        return MongoMemos(self._url.shown, self._opened.layout, self._opened.clock)

    def _joined(self, tx: object) -> ClientSession:
        if not isinstance(tx, ClientSession):
            raise ConfigError(f"tx must be a pymongo ClientSession of {self._url.shown}, not {type(tx).__name__}")
        if not self._opened.replicated:
            raise ConfigError(f"{self._url.shown} stands alone and has no transactions: make it a replica set")
        if not tx.in_transaction:
            raise ConfigError("tx must be in a transaction: call start_transaction() or with_transaction() first")
        return tx

    def _in(self, session: ClientSession) -> Parts:
        """The same parts, by the client that a session of the user's belongs to."""
        parts = self._opened
        layout = Layout(session.client, self._url.database, self._namespace, numbers=parts.layout)
        storing = Storing(layout, parts.clock, replicated=True, outer=parts.storing)
        return parts._replace(layout=layout, storing=storing, endings=Endings(layout, parts.clock, storing))
