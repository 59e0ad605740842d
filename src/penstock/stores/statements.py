"""SQL kept in files: one operation a file, its parameters and result in the header."""

from __future__ import annotations

import re
from importlib.resources import files

from penstock.errors import ConfigError

_TABLE_PREFIX = "penstock_"
_NAMESPACE = re.compile(r"[a-z][a-z0-9_]{0,30}\Z")


class Statements:
    """The statements of one folder, for one namespace.

    The files write every table as `penstock_<noun>`; a namespace other than `penstock` takes the place of that word,
    so that several apps can share a database.

    Parameters:
        folder: below the package `penstock.brokers.sql`.
        namespace: lower-case letters, digits and `_`, at most 31 characters.
    """

    def __init__(self, folder: str, namespace: str) -> None:
        if not _NAMESPACE.match(namespace):
            raise ConfigError(f"namespace must be lower-case letters, digits and _, not {namespace!r}")
        self._prefix = f"{namespace}_"
        self._folder = files("penstock.brokers").joinpath("sql", folder)
        self._loaded: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        try:
            return self._loaded[name]
        except KeyError:
            text = self._folder.joinpath(f"{name}.sql").read_text(encoding="utf-8")
            return self._loaded.setdefault(name, self._named(text))

    def migrations(self) -> list[tuple[int, str]]:
        """The numbered migrations, ascending."""
        found = (entry for entry in self._folder.joinpath("migrations").iterdir() if entry.name.endswith(".sql"))
        return sorted(
            (int(entry.name.split("_")[0]), self._named(entry.read_text(encoding="utf-8"))) for entry in found
        )

    def _named(self, text: str) -> str:
        return text.replace(_TABLE_PREFIX, self._prefix)
