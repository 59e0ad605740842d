"""What MongoDB itself says about the bars that are in it."""

from __future__ import annotations

from typing import Any, NamedTuple

import pymongo
from pymongo.collection import Collection

#: Where the URL names none.
_DATABASE = "penstock"


class Found(NamedTuple):
    """The answer: all documents, the different bars among them by symbol and time, symbols, and shares traded."""

    documents: int
    bars: int
    symbols: int
    volume: int


def ask(url: str, collection: str) -> Found:
    """Count the documents, and aggregate them by symbol."""
    with pymongo.MongoClient[dict[str, Any]](url) as client:
        bars: Collection[dict[str, Any]] = client.get_default_database(_DATABASE)[collection]
        by_symbol = {"_id": "$symbol", "times": {"$addToSet": "$time"}, "volume": {"$sum": "$volume"}}
        total = {
            "_id": None,
            "bars": {"$sum": {"$size": "$times"}},
            "symbols": {"$sum": 1},
            "volume": {"$sum": "$volume"},
        }
        sums = next(bars.aggregate([{"$group": by_symbol}, {"$group": total}], allowDiskUse=True), {})
        return Found(bars.count_documents({}), sums.get("bars", 0), sums.get("symbols", 0), sums.get("volume", 0))


def size(url: str, collection: str) -> int:
    """How many documents there are; 0 where there is no such collection."""
    with pymongo.MongoClient[dict[str, Any]](url) as client:
        return client.get_default_database(_DATABASE)[collection].count_documents({})


def drop(url: str, collection: str) -> None:
    """Delete a collection."""
    with pymongo.MongoClient[dict[str, Any]](url) as client:
        client.get_default_database(_DATABASE).drop_collection(collection)
