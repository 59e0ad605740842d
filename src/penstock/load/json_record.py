"""One record of JSON text."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from penstock.errors import SourceError

Text = bytes | bytearray
#: All that decoding can raise; `MsgspecError` and `UnicodeDecodeError` are kinds of `ValueError`.
DECODE_ERRORS = (ValueError, RecursionError)

_record_decoder = msgspec.json.Decoder(dict[str, Any])
_array_decoder = msgspec.json.Decoder(list[dict[str, Any]])
_any_decoder = msgspec.json.Decoder()
_TRUNCATED = "Input data was truncated"
_PREFIX = "JSON is malformed: "
_PLACE = re.compile(r"\(byte (\d+)\)")
#: A number that is cut off is reported as malformed, at the place where it is cut.
_LONGEST_NUMBER = 400
_NAMES: dict[type, str] = {list: "array", str: "string", int: "number", float: "number", bool: "boolean"}


class Unfit(SourceError):
    """The text is no record; the message says why.

    `whole` says that it is a value, if not an object; `truncated` that it is the start of one, and `cut` that it may
    be.
    """

    def __init__(self, reason: str, *, whole: bool = False, truncated: bool = False, cut: bool = False) -> None:
        super().__init__(reason)
        self.whole = whole
        self.truncated = truncated
        self.cut = cut or truncated


def decode_lines(text: Text) -> list[dict[str, Any]]:
    """Objects with white space between them; raises one of `DECODE_ERRORS`."""
    return _record_decoder.decode_lines(text)


def decode_array(text: Text) -> list[dict[str, Any]]:
    """An array of objects; raises one of `DECODE_ERRORS`."""
    return _array_decoder.decode(text)


def decode_record(text: Text) -> dict[str, Any]:
    """One object; raises `Unfit`."""
    try:
        return _record_decoder.decode(text)
    except DECODE_ERRORS:
        raise _explain(text) from None


def _explain(text: Text) -> Unfit:
    try:
        value = _any_decoder.decode(text)
    except UnicodeDecodeError as error:
        return Unfit(f"not UTF-8: {error.reason} 0x{error.object[error.start]:02x}")
    except RecursionError:
        return Unfit("nested too deeply")
    except ValueError as error:
        reason = str(error)
        place = _PLACE.search(reason)
        cut = place is not None and int(place[1]) >= len(text) - _LONGEST_NUMBER
        return Unfit(f"broken JSON: {reason.removeprefix(_PREFIX)}", truncated=reason == _TRUNCATED, cut=cut)
    name = "null" if value is None else _NAMES.get(type(value), type(value).__name__)
    return Unfit(f"expected an object, got {name}", whole=True)
