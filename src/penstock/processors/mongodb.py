"""Records into a collection of MongoDB, through a queue that is a file."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlsplit

from penstock.errors import ConfigError
from penstock.processors.adaptive import AdaptiveBatchProcessor

URL = "mongodb://localhost:27017"
DATABASE = "market_data"


class MongoDBQueueProcessor(AdaptiveBatchProcessor):
    """Records go into a queue, and from there by bulk writes into a collection of MongoDB.

    The queue is a SQLite file in the working folder, `QUEUE_NAME.penstock.db`: twice as fast as a queue in MongoDB, and for one machine.
    For several machines, have `queue=` name the database as well.

    Parameters:
        connection_string: URL of the server.
        database_name: of the database; without, the one that the URL names, or `market_data`.
        collection_name: of the collection.
        queue_name, queue: see `AdaptiveBatchProcessor`.
        options: its others.
    """

    def __init__(
        self,
        connection_string: str = URL,
        database_name: str | None = None,
        collection_name: str = "orders",
        *,
        queue_name: str = "market_orders",
        queue: str | None = None,
        **options: Any,
    ) -> None:
        url = with_database(connection_string, database_name)
        queue = queue or f"sqlite:///{quote(queue_name)}.penstock.db"
        super().__init__(url, collection_name, queue_name=queue_name, queue=queue, **options)


def with_database(url: str, name: str | None, default: str = DATABASE) -> str:
    """A URL of MongoDB that names a database.

    Parameters:
        name: of the database; None is the one that the URL names, or the default.
        default: where neither says.

    Raises:
        ConfigError: it is no URL of MongoDB.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"mongodb", "mongodb+srv"}:
        raise ConfigError("write mongodb://user:password@host:27017, with %40 for a @ in a name or password and so on")
    there = parts.path.strip("/")
    query = parts.query
    if there and name and parts.username and "authSource=" not in query:
        # A user is looked for in the database that the URL names.
        query = "&".join([*([query] if query else []), f"authSource={there}"])
    return parts._replace(path=f"/{quote(name or there or default)}", query=query).geturl()
