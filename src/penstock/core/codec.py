"""Arguments to bytes and back: one msgspec Struct per task, made from its signature.

The Struct is the check of the arguments at `.delay`, the wire format (a msgpack array in the order of the parameters)
and the typed decoder at once.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import msgspec

from penstock.errors import ConfigError, PayloadError

_encoder = msgspec.msgpack.Encoder()
_PLAIN = (int, float, str, bytes, bool, type(None))
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Signature:
    """How one function's arguments travel.

    Parameters:
        name: of the task, for messages.
        function: what is called in the end; its type hints are resolved when they are first needed.
    """

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self._name = name
        self._function = function
        self._parameters = list(inspect.signature(function).parameters.values())
        self._named_only = [p.name for p in self._parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
        self._variadic = any(p.kind in _VARIADIC for p in self._parameters)

    @property
    def names(self) -> list[str]:
        """The names of the parameters, in order."""
        return [p.name for p in self._parameters]

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> msgspec.Struct:
        """The arguments as a Struct; `TypeError` when the function could not be called with them."""
        try:
            if self._variadic:
                bound = inspect.signature(self._function).bind(*args, **kwargs)
                return self.struct(list(bound.args), dict(bound.kwargs))
            return self.struct(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self._name}(): {error}") from None

    def encode(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
        """The arguments as bytes; `TypeError` when they don't fit the signature or can't be encoded."""
        return _encoder.encode(self.bind(args, kwargs))

    def encode_bound(self, arguments: msgspec.Struct) -> bytes:
        """Arguments that are bound already, as bytes."""
        return _encoder.encode(arguments)

    def decode(self, payload: bytes) -> msgspec.Struct:
        """The arguments that bytes stand for, checked against the type hints; `PayloadError` when they don't fit."""
        try:
            return self._decoder.decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError, ValueError) as error:
            raise PayloadError(self._explain(error)) from None

    def call(self, arguments: msgspec.Struct) -> Any:
        """Call the function with decoded arguments."""
        values = msgspec.structs.astuple(arguments)
        if self._variadic:
            return self._function(*values[0], **values[1])
        if self._named_only:
            split = len(values) - len(self._named_only)
            return self._function(*values[:split], **dict(zip(self._named_only, values[split:], strict=True)))
        return self._function(*values)

    @cached_property
    def struct(self) -> type[msgspec.Struct]:
        """The Struct of the arguments."""
        if self._variadic:
            fields: list[Any] = [("args", list[Any]), ("kwargs", dict[str, Any])]
            return msgspec.defstruct("Arguments", fields, array_like=True, gc=False)
        hints = self._hints()
        plain = [p for p in self._parameters if p.name not in self._named_only]
        named = [p for p in self._parameters if p.name in self._named_only]
        base = msgspec.defstruct("Arguments", [_field(p, hints) for p in plain], array_like=True, gc=False)
        if not named:
            return base
        return msgspec.defstruct(
            "Arguments", [_field(p, hints) for p in named], bases=(base,), array_like=True, gc=False, kw_only=True
        )

    @cached_property
    def _decoder(self) -> msgspec.msgpack.Decoder[Any]:
        return msgspec.msgpack.Decoder(self.struct)

    def _hints(self) -> dict[str, Any]:
        try:
            return typing.get_type_hints(self._function, include_extras=True)
        except NameError as error:
            raise ConfigError(
                f"task {self._name}: {error} in its type hints: define that name in the task's module"
            ) from None

    def _explain(self, error: Exception) -> str:
        """msgspec names a place as `$[1].x`; a reader knows the parameters by name."""
        text = str(error)
        for index, name in enumerate(self.names):
            text = text.replace(f"`$[{index}]", f"`{name}")
        return f"{self._name}(): {text}"


def _field(parameter: inspect.Parameter, hints: dict[str, Any]) -> Any:
    hint = hints.get(parameter.name, Any)
    if parameter.default is inspect.Parameter.empty:
        return (parameter.name, hint)
    default = parameter.default
    if isinstance(default, _PLAIN):
        return (parameter.name, hint, default)
    return (parameter.name, hint, msgspec.field(default_factory=lambda: default))


def encode_value(value: Any) -> bytes:
    """A return value as bytes; `TypeError` when it can't be encoded."""
    return _encoder.encode(value)


def decode_value(data: bytes, type: Any = Any) -> Any:
    """A return value from its bytes; `PayloadError` when they aren't of that type."""
    try:
        return msgspec.msgpack.decode(data, type=type)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError, ValueError) as error:
        raise PayloadError(str(error)) from None
