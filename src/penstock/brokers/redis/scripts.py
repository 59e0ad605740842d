"""The Lua scripts of the broker: each is one exchange with the server, whole or not at all."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import NamedTuple

#: What the header of a script says it may do, and the flags by which Redis is told.
_FLAGS = {
    "only read": "no-writes",
    "write when memory is full": "allow-oom",
    "": "",
}


class Script(NamedTuple):
    """A script: its text, and the name by which a server that has seen it knows it."""

    text: str
    digest: str


@cache
def script(name: str) -> Script:
    """The script of a file in `lua/`, with the parts that it uses before it."""
    folder = files("penstock.brokers.redis").joinpath("lua")
    source = folder.joinpath(f"{name}.lua").read_text("utf-8")
    said = {
        word: text.strip()
        for line in source.splitlines()
        if line.startswith("-- ")
        for word, _, text in [line[3:].partition(":")]
    }
    shared = [folder.joinpath("shared", f"{part}.lua").read_text("utf-8") for part in said.get("uses", "").split()]
    flags = _FLAGS[said.get("may", "").partition(" (")[0]]
    lines = [line for part in (*shared, source) for line in part.splitlines() if not line.lstrip().startswith("--")]
    text = "\n".join([f"#!lua flags={flags}" if flags else "#!lua", *lines])
    # The name that Redis gives it; nothing is kept secret by it.
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
