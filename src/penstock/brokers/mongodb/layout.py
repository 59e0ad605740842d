"""The collections of a MongoDB queue and their indexes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import ASCENDING, IndexModel, ReadPreference, ReturnDocument, WriteConcern
from pymongo.collection import Collection
from pymongo.errors import CollectionInvalid, ConnectionFailure, OperationFailure

from penstock.brokers.diagnosis import Schema
from penstock.errors import ConfigError, SchemaTooNew
from penstock.stores.mongodb import Client, Document

#: The number of the layout that this version knows, and of the oldest version that can work with it.
VERSION = 9
_OLDEST = 2
_NAMESPACE = re.compile(r"[a-z][a-z0-9_]{0,30}\Z")
_EXISTS_ALREADY = 48
_RING_BYTES = 1 << 16
_ENDS_BYTES = 1 << 20
#: Dates beyond what Python has come as they are, instead of failing whatever was read with them.
_CODEC: CodecOptions[Document] = CodecOptions(tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_AUTO)
_QUICK = WriteConcern(1, j=False)


class Index(NamedTuple):
    """An index. One with `where` holds only documents that have that field."""

    name: str
    keys: Sequence[str]
    where: str | None = None
    unique: bool = False
    keep: int | None = None  # seconds after the date in it for which a document is kept


_JOBS = (
    # With the id: jobs of one place come in the order of their ids, from the index.
    Index("ready", ("queue", "place", "_id"), where="place"),
    Index("held", ("worker", "process"), where="worker"),
    Index("due", ("due", "queue"), where="due"),
    Index("parked", ("parked", "queue"), where="parked"),
    Index("ended", ("state", "_id"), where="ended"),
    Index("batch", ("batch", "_id"), where="batch"),
    Index("unique", ("unique",), where="unique", unique=True),
    Index("birth", ("birth",), where="birth"),
    Index("mark", ("mark",), where="mark"),
    Index("cancelled", ("cancelled",), where="cancelled"),
    # Of the jobs that are limited by their task: how many of a gate run.
    Index("gate", ("gate", "worker"), where="gate"),
    # The order of a line; with the place, a claim reads nothing but the index.
    Index("order", ("queue", "turn", "_id", "place"), where="turn"),
    Index("waits", ("waits", "queue"), where="waits"),
)
_INDEXES: dict[str, tuple[Index, ...]] = {
    "jobs": _JOBS,
    "results": (
        Index("expires", ("expires",)),
        Index("gone", ("gone",), keep=0),
        Index("shipment", ("shipment",), where="shipment"),
        # Of a stage, those that others take.
        Index("stage", ("stage", "_id"), where="stage"),
    ),
    "flows": (Index("look", ("look",)), Index("birth", ("birth",), where="birth")),
    "stages": (
        Index("flow", ("flow", "position")),
        Index("waits", ("waits",), where="waits"),
        Index("takes", ("takes",), where="takes"),
        Index("live", ("live",), where="live"),
        Index("birth", ("birth",), where="birth"),
    ),
    "intents": (Index("gone", ("gone",), where="gone", keep=0),),
    "bell": (Index("at", ("at",), keep=60),),
    "batches": (Index("look", ("look",)),),
    "workers": (),
    "metrics": (Index("at", ("span", "at")), Index("gone", ("gone",), keep=0)),
    "meta": (),
    "limits": (),
    "subscriptions": (),
    "schedules": (Index("next", ("next_at",), where="next_at"), Index("mark", ("mark",), where="mark")),
    "gates": (Index("paid_until", ("paid_until",)),),
    "lines": (
        Index("due", ("due",)),
        Index("queue", ("queue", "due")),
        Index("gate", ("gate",)),
        Index("idle", ("idle",)),
    ),
    "holds": (Index("held", ("worker", "process")), Index("claim", ("claim",)), Index("at", ("at",))),
    "shipments": (Index("gone", ("gone",), keep=0),),
    "shipped": (Index("shipment", ("shipment", "number")),),
    "arrivals": (Index("settled", ("settled",), where="settled"),),
    "waits": (Index("until", ("until",), keep=60),),
    "inbox": (Index("adopted", ("_adopted",), where="_adopted"),),
}


class Layout:
    """The collections of one namespace, through one client.

    Parameters:
        client: the broker's own, or that of a transaction of the user's.
        numbers: where numbers come from, if not from the same client: a counter in a transaction of the user's would
            make any two of them wait for each other.
        concern: what each write waits for, if not what the client's do.
    """

    def __init__(
        self,
        client: Client,
        database: str,
        namespace: str,
        numbers: Layout | None = None,
        concern: WriteConcern | None = None,
    ) -> None:
        if not _NAMESPACE.match(namespace):
            raise ConfigError(f"namespace must be lower-case letters, digits and _, not {namespace!r}")
        self.client = client
        self.namespace = namespace
        self.database = client.get_database(database, _CODEC, ReadPreference.PRIMARY, concern)
        self.jobs = self._collection("jobs")
        self.results = self._collection("results")
        self.batches = self._collection("batches")
        self.workers = self._collection("workers")
        self.metrics = self._collection("metrics")
        self.intents = self._collection("intents")
        self.inbox = self._collection("inbox")
        self.meta = self._collection("meta")
        self.limits = self._collection("limits")
        self.subscriptions = self._collection("subscriptions")
        self.schedules = self._collection("schedules")
        self.flows = self._collection("flows")
        self.stages = self._collection("stages")
        self.gates = self._collection("gates")
        self.lines = self._collection("lines")
        self.holds = self._collection("holds")
        self.shipments = self._collection("shipments")
        self.shipped = self._collection("shipped")
        self.arrivals = self._collection("arrivals")
        #: A change stream tells of what a majority has on disk. Unless told to, a server writes ten times a second only.
        self.bell = self._collection("bell").with_options(write_concern=WriteConcern(1, j=True))
        #: A ring that gets lost costs a poll, and a place that is given twice the order of two jobs: neither is worth
        #: waiting for a disk.
        self.chime = self._collection("chime").with_options(write_concern=_QUICK)
        self.ends = self._collection("ends").with_options(write_concern=_QUICK)
        self.waits = self._collection("waits").with_options(write_concern=_QUICK)
        self._places = self.meta.with_options(write_concern=_QUICK)
        self._numbers = numbers or self

    @cached_property
    def unhurried(self) -> Layout:
        """The same collections, by writes that wait for no disk."""
        return Layout(self.client, self.database.name, self.namespace, self._numbers, _QUICK)

    def _collection(self, noun: str) -> Collection[Document]:
        return self.database.get_collection(f"{self.namespace}_{noun}")

    def next_places(self, count: int) -> int:
        """The first of so many places in the order of arrival."""
        return self._numbers._step_place(count) - count + 1

    def _step_place(self, count: int) -> int:
        """As `_count` does, but as a command that the driver does not make repeatable: for that the server writes two documents more."""
        step: dict[str, Any] = {
            "findAndModify": self.meta.name,
            "query": {"_id": "place"},
            "update": {"$inc": {"value": count}},
        }
        try:
            found = self.database.command({**step, "upsert": True, "new": True, "writeConcern": _QUICK.document})
        except ConnectionFailure:
            # A number that is skipped does no harm.
            return self._count(self._places, "place", count)
        return int(found["value"]["value"])

    def next_shipment(self) -> int:
        """The number of a shipment, greater than all before."""
        return self._count(self.meta, "shipment", 1)

    def _count(self, collection: Collection[Document], name: str, count: int) -> int:
        found = collection.find_one_and_update(
            {"_id": name}, {"$inc": {"value": count}}, upsert=True, return_document=ReturnDocument.AFTER
        )
        assert found is not None
        return int(found["value"])

    def indexes(self) -> dict[str, list[str]]:
        """The names of the indexes that each collection has, by the collection's own name."""
        return {f"{self.namespace}_{noun}": [index.name for index in some] for noun, some in _INDEXES.items() if some}

    def schema(self) -> Schema:
        """Which layout the database has."""
        found = self.meta.find_one({"_id": "schema"})
        return Schema(None if found is None else int(found["value"]), VERSION)

    def install(self, shown: str, *, replicated: bool) -> None:
        """Create what is missing.

        Raises:
            SchemaTooNew: a newer version of Penstock has changed the collections so that this one can't work with them.
        """
        found = self.meta.find_one({"_id": "schema"}) or {"value": 0}
        installed = int(found["value"])
        if installed > VERSION:
            if int(found.get("oldest", installed)) <= VERSION:
                return
            raise SchemaTooNew(
                f"{shown} was written by a newer Penstock (schema {installed}, this one knows {VERSION}): upgrade"
            )
        for noun, indexes in _INDEXES.items():
            self._create(noun)
            if indexes:
                self._collection(noun).create_indexes([_model(index) for index in indexes])
        self._create("ends", capped=True, size=_ENDS_BYTES)
        if not replicated:
            self._create("chime", capped=True, size=_RING_BYTES)
        self.meta.update_one({"_id": "schema"}, {"$set": {"value": VERSION, "oldest": _OLDEST}}, upsert=True)

    def _create(self, noun: str, **options: Any) -> None:
        """Create a collection: a transaction had better find it there."""
        try:
            self.database.create_collection(f"{self.namespace}_{noun}", **options)
        except CollectionInvalid:
            pass
        except OperationFailure as error:
            if error.code != _EXISTS_ALREADY:
                raise


def _model(index: Index) -> IndexModel:
    options: dict[str, Any] = {"name": index.name}
    if index.where is not None:
        options["partialFilterExpression"] = {index.where: {"$exists": True}}
    if index.unique:
        options["unique"] = True
    if index.keep is not None:
        options["expireAfterSeconds"] = index.keep
    return IndexModel([(key, ASCENDING) for key in index.keys], **options)
