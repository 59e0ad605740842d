"""Where a command looks: an app of the user's, or a queue's URL."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import msgspec

from penstock import settings
from penstock.app import Penstock, load_app
from penstock.brokers import connect
from penstock.brokers.base import Broker
from penstock.brokers.inspect import Inspector
from penstock.brokers.workflows import WorkflowRecord
from penstock.client import Client
from penstock.core.masking import without_password
from penstock.errors import ConfigError, MissingFeature, StoreError


class Place(msgspec.Struct, frozen=True):
    """A queue's URL, and the app where one was named."""

    url: str
    app: Penstock | None = None

    def __repr__(self) -> str:
        return f"Place({self.shown!r})"

    @property
    def shown(self) -> str:
        """The URL as it may be shown: without a password."""
        return without_password(self.url)

    @contextmanager
    def inspector(self) -> Iterator[Inspector]:
        """The reading and repairing side of the queue; `StoreError` when there is no queue yet."""
        _check_there(self)
        client = Client(self.url)
        try:
            with client.inspector() as inspector:
                yield inspector
        finally:
            client.close()

    @contextmanager
    def broker(self) -> Iterator[Broker]:
        """The queue's broker; `StoreError` when there is no queue yet."""
        _check_there(self)
        client = Client(self.url)
        try:
            with client.broker() as broker:
                yield broker
        finally:
            client.close()


def find_place(where: str | None) -> Place:
    """The place that WHERE names; without it that of the settings, or the default."""
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
        raise ConfigError(f"{without_password(target)!r} is no app: write package.module:app")
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())
    return load_app(target)


def find_workflow(broker: Broker, id: bytes) -> WorkflowRecord | None:
    """A workflow by its id, or None: where the store, or the backend of a broker, keeps none, there is none."""
    with suppress(MissingFeature):
        return broker.workflows().get(id)
    return None


def _check_there(place: Place) -> None:
    """Refuse to read a queue that was never made; opening it would make it, perhaps in another's database."""
    if connect(place.url).schema().installed is None:
        raise StoreError(
            f"there is no queue in {place.shown} yet: the first job or worker makes it; "
            "for another, name package.module:app or a URL, or set PENSTOCK_URL"
        )
