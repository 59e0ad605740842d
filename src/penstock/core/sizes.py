"""Sizes of memory as people write them."""

from __future__ import annotations

import re

from penstock.errors import ConfigError

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = r"(?i)\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\s*"


def parse_bytes(text: str | int) -> int:
    """Bytes from a number, or from text such as "1.5G", "500M" or "64 KiB"; each unit is 1,024 of the one before.

    Raises:
        ConfigError: it is no such text, or not more than 0.
    """
    if isinstance(text, int):
        found = text
    else:
        match = re.fullmatch(_SIZE, text)
        if match is None:
            raise ConfigError(f"a size is a number with K, M, G or T behind it, as 500M or 1.5G, not {text!r}")
        found = int(float(match[1]) * _UNITS[match[2].upper()])
    if found <= 0:
        raise ConfigError(f"a size is more than 0 bytes, not {text!r}")
    return found


def format_bytes(size: float) -> str:
    """A size in the largest unit that leaves at least 1, as "1.5 GiB"."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
