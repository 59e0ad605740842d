"""What an app is told from outside, with the one table of defaults."""

from __future__ import annotations

import os

import msgspec

DEFAULT_URL = "sqlite:///penstock.db"


class Settings(msgspec.Struct, frozen=True):
    """An app's settings.

    Parameters:
        url: of the broker.
        inline: run every job at `.delay`, in the caller's own thread; for tests.
    """

    url: str = DEFAULT_URL
    inline: bool = False


def load(url: str | None = None, *, inline: bool = False) -> Settings:
    """The settings from arguments, then $PENSTOCK_URL, then the defaults."""
    return Settings(url or os.environ.get("PENSTOCK_URL") or DEFAULT_URL, inline)
