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


class Bytes(click.ParamType[int]):
    """A size of memory, as 500M or 1.5G."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read it."""
        try:
            return parse_bytes(value)
        except ConfigError as error:
            self.fail(str(error), param, ctx)
