"""Where the elements of a JSON array end, by their quotes and brackets alone."""

from __future__ import annotations

import re
from itertools import islice

Text = bytes | bytearray

_SPACE = rb"[ \t\r\n]*+"
_QUOTED = rb'"(?:[^"\\]++|\\.)*+"'
_PLAIN = rb'[^"\[\]{}]++|' + _QUOTED
_DEPTH = 4


def _nested(depth: int) -> bytes:
    """A pattern for brackets that hold up to `depth` more levels of them."""
    inner = _PLAIN if depth == 0 else _PLAIN + b"|" + _nested(depth - 1)
    return rb"[{\[](?:" + inner + rb")*+[}\]]"


_STRING = re.compile(_QUOTED, re.DOTALL)
_BRACKET = re.compile(rb"(?:" + _PLAIN + rb')*+["\[\]{}]', re.DOTALL)
_OTHER = re.compile(rb'[^,\]\[{}"]++|.', re.DOTALL)
_SEPARATOR = re.compile(rb"\}" + _SPACE + b"," + _SPACE + rb"\{")
_ELEMENT = re.compile(rb"(" + _nested(_DEPTH) + rb")" + _SPACE + b"," + _SPACE + rb"(?=\{)", re.DOTALL)
_QUOTE = ord('"')


def element_end(data: Text, start: int, *, final: bool) -> int | None:
    """The index after the element that starts at `start`; None when it does not end within `data`.

    Nothing but quotes and brackets is looked at, so a broken element has an end as long as these match. With `final`
    a number or word may end where `data` does.
    """
    first = data[start]
    if first == _QUOTE:
        string = _STRING.match(data, start)
        return string.end() if string else None
    if first not in b"{[":
        other = _OTHER.match(data, start)
        end = other.end() if other else len(data)
        return end if final or end < len(data) else None
    depth = 0
    end = start
    # Not `finditer`, which would look on inside a string where there is no match.
    while match := _BRACKET.match(data, end):
        end = match.end()
        byte = data[end - 1]
        if byte == _QUOTE:
            return None
        depth += 1 if byte in b"{[" else -1
        if not depth:
            return end
    return None


def separated(data: Text, start: int, stop: int, count: int) -> tuple[list[int], int]:
    """Where up to `count` objects start, told by what looks like a separator after each; fast, but a guess.

    Returns:
        The starts, the last one being that of the object after them, and the end of the last of them; 0 if there
        is none.
    """
    starts, end = [start], 0
    for match in islice(_SEPARATOR.finditer(data, start, stop), count):
        end = match.start() + 1
        starts.append(match.end() - 1)
    return starts, end


def bracketed(data: Text, start: int, stop: int, count: int) -> tuple[list[int], int]:
    """The same by matching quotes and brackets, a few levels deep: slower, but right for well-formed text."""
    starts, end = [start], 0
    for match in islice(_ELEMENT.finditer(data, start, stop), count):
        if match.start() != starts[-1]:
            break
        end = match.end(1)
        starts.append(match.end())
    return starts, end
