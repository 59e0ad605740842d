"""Documents into a collection of MongoDB."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from bson import ObjectId
from pymongo.errors import CollectionInvalid, InvalidName, OperationFailure, PyMongoError
from pymongo.uri_parser import parse_uri

from penstock.errors import ConfigError, SinkError
from penstock.sinks.base import End, OnConflict, Rejected, Sink, Target, Written
from penstock.sinks.job_rows import check_count, joined, left_out
from penstock.sinks.mongodb.alone import write_alone, write_jobs_alone
from penstock.sinks.mongodb.jobs import JobLedger
from penstock.sinks.mongodb.ledger import Ledger
from penstock.sinks.mongodb.rows import ENCODE_ERRORS, Row, decode, made_of_batch, made_of_jobs, storable
from penstock.sinks.mongodb.transactions import Parts, write_at_once, write_jobs
from penstock.sinks.mongodb.writes import Destination
from penstock.sinks.settling import Stale, settling
from penstock.stores import mongodb as store

_BROKER_OPTIONS = ("namespace",)
#: Bytes of msgpack that are no more than a message may have as BSON: a number in an array has 1 there and up to 11 here, of 48,000,000.
_LIGHT = 1 << 20


class MongoSink(Sink):
    """Writes into one collection of a MongoDB database.

    On a replica set a batch and its entry in the ledger go in by transactions. On a server that stands alone they can't:
    there, each document's `_id` sees to it that a second try changes nothing.

    Parameters:
        url: `mongodb://user:password@host/database`, with what pymongo takes after `?`.
        target: of its collection. The key's fields make the `_id` of documents that have none.
    """

    def __init__(self, url: str, target: Target) -> None:
        self._url = store.parse(url, ())
        self.target = target
        self._client: store.Client | None = None
        self._replicated = False
        self._job_ledger: JobLedger | None = None
        self._destinations: dict[bool, Destination] = {}

    def open(self) -> None:
        """See `Sink.open`."""
        if self._client is None:
            self._client = store.connect(self._url)
            try:
                with store.translating(self._url.shown):
                    self._replicated = store.is_replica_set(self._client)
                self._check_adding()
                self._destination()
            except BaseException:
                self.close()
                raise

    def _check_adding(self) -> None:
        if self.target.on_conflict is OnConflict.ADD and not self._replicated:
            raise ConfigError(
                f"{self._url.shown} stands alone, without transactions, and can't add exactly once: make it a replica "
                "set, of one node if you like (mongod --replSet rs0, then rs.initiate()), or update"
            )

    def close(self) -> None:
        """See `Sink.close`."""
        if self._client is not None:
            self._client.close()
            self._client = None
            self._job_ledger = None
            self._destinations.clear()

    def exists(self) -> bool:
        """See `Sink.exists`."""
        with store.translating(self._url.shown):
            names = self._opened()[self._url.database].list_collection_names(filter={"name": self.target.table})
        return bool(names)

    def create(self, sample: Sequence[dict[str, Any]]) -> None:
        """See `Sink.create`: a collection has no columns, so the sample may be anything."""
        try:
            with suppress(CollectionInvalid):
                self._opened()[self._url.database].create_collection(self.target.table)
        except OperationFailure as error:
            raise self._destination().failure(error) from error

    def write(self, ledger_id: bytes, payload: bytes, *, now: float | None = None) -> Written:
        """See `Sink.write`."""
        client, destination = self._opened(), self._destination(payload)
        ledger = Ledger(client[self._url.database])

        def put(rows: Sequence[Row], rejected: Sequence[Rejected]) -> Written:
            if self._replicated:
                return Parts(client, destination, ledger, ledger_id, now).write(rows, rejected)
            return write_alone(destination, ledger, ledger_id, rows, rejected, now)

        return self._written(payload, made_of_batch(ledger_id), put)

    def write_jobs(
        self, ids: Sequence[bytes], payload: bytes, *, ended: Sequence[bytes] = (), now: float | None = None
    ) -> Written:
        """See `Sink.write_jobs`."""
        client, destination = self._opened(), self._destination(payload)
        joined(ids)
        gone = left_out(ended, ids)
        jobs = self._jobs(time.time() if now is None else now)

        def put(rows: Sequence[Row], rejected: Sequence[Rejected]) -> Written:
            check_count(ids, len(rows) + len(rejected))
            if not self._replicated:
                return write_jobs_alone(destination, jobs, ids, rows, rejected, gone, now)
            with client.start_session() as session:
                return write_jobs(session, destination, jobs, ids, rows, rejected, gone, now)

        return self._written(payload, made_of_jobs(ids), put)

    def forget_jobs(self, ids: Sequence[bytes]) -> None:
        """See `Sink.forget_jobs`."""
        with self._translating():
            self._jobs(time.time()).forget(ids)

    def shares(self, broker_url: str) -> bool:
        """See `Sink.shares`: with a queue on the same replica set, used by the same user."""
        if not self._replicated or not broker_url.startswith("mongodb://"):
            return False
        try:
            theirs = parse_uri(store.parse(broker_url, _BROKER_OPTIONS).uri)
            ours = parse_uri(self._url.uri)
        except (ConfigError, PyMongoError, ValueError):
            return False
        same = all(ours.get(name) == theirs.get(name) for name in ("username", "password"))
        return same and not set(ours["nodelist"]).isdisjoint(theirs["nodelist"])

    def write_with(self, payload: bytes, end: End) -> Written | None:
        """See `Sink.write_with`; `end` gets the `pymongo.client_session.ClientSession`."""
        if not self._replicated:
            raise ConfigError("a MongoDB server that stands alone has no transactions: make it a replica set")
        client, destination = self._opened(), self._destination(payload)

        try:
            with client.start_session() as session:
                return self._written(
                    payload,
                    made_of_batch(os.urandom(16)),
                    lambda rows, rejected: write_at_once(session, destination, rows, rejected, end=settling(end)),
                )
        except Stale:
            return None

    def forget(self, prefix: bytes) -> None:
        """See `Sink.forget`."""
        with store.translating(self._url.shown):
            Ledger(self._opened()[self._url.database]).forget(prefix)

    def _jobs(self, now: float) -> JobLedger:
        """The ledger of single jobs; `now` is when it is put in order, once."""
        if self._job_ledger is None:
            ledger = JobLedger(self._opened()[self._url.database])
            with self._translating():
                ledger.prepare(now)
            self._job_ledger = ledger
        return self._job_ledger

    def _written(
        self,
        payload: bytes,
        made: Callable[[int], ObjectId],
        put: Callable[[Sequence[Row], Sequence[Rejected]], Written],
    ) -> Written:
        """Decode a batch, and write what BSON can hold of it."""
        rows, rejected = decode(payload, made, self.target.key)
        try:
            with self._translating():
                return put(rows, rejected)
        except ENCODE_ERRORS:
            good, bad = storable(rows)
            if not bad:
                raise
        with self._translating():
            return put(good, [*rejected, *bad])

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except PyMongoError as error:
            raise self._destination().failure(error) from error

    def _opened(self) -> store.Client:
        if self._client is None:
            raise SinkError("the sink is not open")
        return self._client

    def _destination(self, payload: bytes | None = None) -> Destination:
        client, is_light = self._opened(), payload is not None and len(payload) <= _LIGHT
        found = self._destinations.get(is_light)
        if found is None:
            try:
                self.target.table.encode()
                collection = client[self._url.database][self.target.table]
            except (InvalidName, UnicodeEncodeError) as error:
                raise SinkError(f"{self.target.table!r} can't be the name of a collection: {error}") from error
            found = self._destinations[is_light] = Destination(
                collection, self._url.shown, self.target, is_light=is_light
            )
        return found
