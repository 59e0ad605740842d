"""Words of the command line that stand for quantities."""

from __future__ import annotations

import math
from typing import Any

import click

from penstock.core.sizes import parse_bytes
from penstock.errors import ConfigError


class Seconds(click.FloatRange):
    """A number of seconds, 0 or more, that ends."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """As click's own, which takes nan and inf."""
        seconds: float = super().convert(value, param, ctx)
        if not math.isfinite(seconds):
            self.fail(f"{value} is no number of seconds", param, ctx)
        return seconds


class Address(click.ParamType[tuple[str, int]]):
    """Where to listen: a port of this machine alone, as 8080, or with the address before it, as 0.0.0.0:8080."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        """Read it."""
        host, _, port = str(value).rpartition(":")
        if not (port.isascii() and port.isdigit() and int(port) < 65536):
            self.fail(f"write a port, as 8080 or 0.0.0.0:8080, not {value!r}", param, ctx)
        return host.strip("[]") or "127.0.0.1", int(port)


class Bytes(click.ParamType[int]):
    """A size of memory, as 500M or 1.5G."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read it."""
        try:
            return parse_bytes(value)
        except ConfigError as error:
            self.fail(str(error), param, ctx)
