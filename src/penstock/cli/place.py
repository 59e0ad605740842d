"""Where a command looks: an app of the user's, or a queue's URL."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

import msgspec

from penstock import settings
from penstock.app import Penstock, load_app
from penstock.brokers.inspect import Inspector
from penstock.client import Client
from penstock.core.text import without_password
from penstock.errors import ConfigError, StoreError
from penstock.stores import sqlite
from penstock.stores.statements import Statements


class Place(msgspec.Struct, frozen=True):
    """A queue's URL, and the app where one was named."""

    url: str
    app: Penstock | None = None

    @property
    def shown(self) -> str:
        """The URL as it may be shown: without a password."""
        return without_password(self.url)

    @contextmanager
    def inspector(self) -> Iterator[Inspector]:
        """The reading and repairing side of the queue; `StoreError` when there is no queue yet."""
        _check_there(self.url)
        client = Client(self.url)
        try:
            with client.inspector() as inspector:
                yield inspector
        finally:
            client.close()


def find_place(where: str | None) -> Place:
    """The place that WHERE names; without it $PENSTOCK_URL or the default."""
    if where is None:
        return Place(settings.load().url)
    if "://" in where:
        return Place(where)
    app = import_app(where)
    return Place(app.settings.url, app)


def import_app(target: str) -> Penstock:
    """The app that "package.module:app" names, from the working folder; `ConfigError` in one line when it fails."""
    module = target.partition(":")[0]
    if not all(part.isidentifier() for part in module.split(".")):
        raise ConfigError(f"{target!r} is no app: write package.module:app")
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())
    return load_app(target)


def _check_there(url: str) -> None:
    """Refuse to read a SQLite queue that was never made; opening it would make it, perhaps in another's database."""
    if urlsplit(url).scheme != "sqlite":
        return
    parsed = sqlite.parse(url)
    path = Path(parsed.path)
    if not path.exists():
        raise StoreError(
            f"there is no queue {path} yet: the first job or worker makes it; "
            "for another, name package.module:app or a URL, or set PENSTOCK_URL"
        )
    sql = Statements("sqlite", parsed.options.get("namespace", "penstock"))
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)) as connection:
            found = connection.execute(sql["has_schema"]).fetchone()
    except sqlite3.Error:
        return  # the broker says it better
    if found is None:
        raise StoreError(f"{path} holds no queue: name the file that does, or store a first job in this one")
