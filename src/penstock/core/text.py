"""Text that is fit to be stored, and text that is fit to be shown."""

from __future__ import annotations

import re

#: The password of a URL that is written in another's query.
_SECRET = re.compile(r"((?://|%2F%2F)[^:@&%]*(?::|%3A))[^&]*?(@|%40)", re.IGNORECASE)


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


def without_password(url: str) -> str:
    """A URL as it may be shown."""
    from urllib.parse import urlsplit  # with what it loads, 4 % of `import penstock`

    parts = urlsplit(url)
    if parts.query:
        parts = parts._replace(query=_SECRET.sub(r"\1***\2", parts.query))
    if not parts.password:
        return parts.geturl() if parts.query else url
    return parts._replace(netloc=f"{parts.username}:***@{parts.netloc.rpartition('@')[2]}").geturl()


def shown_lines(text: str) -> str:
    """The same for a text of many lines, such as a traceback."""
    return "\n".join(shown(line.replace("\t", "    ")) for line in text.rstrip().splitlines())
