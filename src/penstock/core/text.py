"""Text that is fit to be stored, and text that is fit to be shown."""

from __future__ import annotations


def storable(text: str) -> str:
    """Text that any store can hold: what is no Unicode character, a stray surrogate say, is written as an escape."""
    return text.encode("utf-8", "backslashreplace").decode()


def shown(text: str, longest: int | None = None) -> str:
    """Text as it is safe to show on one line of a terminal: control characters are written out."""
    if longest is not None and len(text) > longest:
        text = text[: longest - 1] + "…"
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def shown_lines(text: str) -> str:
    """The same for a text of many lines, such as a traceback."""
    return "\n".join(shown(line.replace("\t", "    ")) for line in text.rstrip().splitlines())
