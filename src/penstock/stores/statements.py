"""SQL kept in files: one operation a file, its parameters and result in the header."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType

from penstock.errors import ConfigError

_NAMESPACE = re.compile(r"[a-z][a-z0-9_]{0,30}\Z")


class Statements:
    """The statements of one folder, for one namespace.

    The files write every table as `penstock_<noun>`, or what `spellings` names; a namespace other than `penstock`
    takes the place of that word, so that several apps can share a database.

    Parameters:
        folder: a store's name: its package in `penstock.brokers` has the statements in `sql`.
        namespace: lower-case letters, digits and `_`, at most 31 characters.
        spellings: what the files write, and what is to stand there, with `{}` for the namespace.
        word: what the namespace is called where this store is told it.
    """

    def __init__(
        self,
        folder: str,
        namespace: str,
        *,
        spellings: Mapping[str, str] = MappingProxyType({"penstock_": "{}_"}),
        word: str = "namespace",
    ) -> None:
        if not _NAMESPACE.match(namespace):
            raise ConfigError(f"{word} must be lower-case letters, digits and _, not {namespace!r}")
        self._spellings = {old: new.format(namespace) for old, new in spellings.items()}
        self._folder = files(f"penstock.brokers.{folder}").joinpath("sql")
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
        for old, new in self._spellings.items():
            text = text.replace(old, new)
        return text
