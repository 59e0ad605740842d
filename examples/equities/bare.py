"""What Penstock is measured against: a loop that reads JSON Lines and calls insert_many, and does nothing else.

    python examples/equities/bare.py bars.jsonl mongodb://localhost:27017/market bars

It has no queue, no progress and no report. A record that is wrong ends it; killed, it has to begin anew.
"""

from __future__ import annotations

import sys
from itertools import islice
from typing import Any

import msgspec
import pymongo

_BATCH = 1000


def load(source: str, url: str, collection: str) -> None:
    """Insert every record of a file, each batch as safely as Penstock does: in the journal when the call returns."""
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    with pymongo.MongoClient[dict[str, Any]](url, w="majority", journal=True) as client, open(source, "rb") as file:
        target = client.get_default_database("penstock")[collection]
        while lines := list(islice(file, _BATCH)):
            target.insert_many([decode(line) for line in lines], ordered=False)


if __name__ == "__main__":
    load(*sys.argv[1:])
