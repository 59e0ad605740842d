"""Arguments to bytes and back: one msgspec Struct per task, made from its signature.

The Struct is the check of the arguments at `.delay`, the wire format (a msgpack array in the order of the parameters)
and the typed decoder at once.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, cast

import msgspec

from penstock.core import handing
from penstock.core.job import Failure
from penstock.core.sealed import start_of, unread
from penstock.core.text import storable
from penstock.errors import ConfigError, PayloadError

_encoder = msgspec.msgpack.Encoder()
_PLAIN = (int, float, str, bytes, bool, type(None))
#: Arrays in msgpack begin with this byte or a later one; JSON, and an event's map, with an earlier one.
_ARRAYS = b"\x90"
_TOPIC = "topic"
_MANY, _NAMED = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
#: What msgspec raises for bytes that do not fit, and for values that it can't encode.
_UNFIT = (msgspec.MsgspecError, RecursionError, OverflowError, ValueError)
_UNENCODABLE = (TypeError, *_UNFIT)


class _JsonCall(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments, or an event, as other languages write them."""

    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    topic: str | None = None
    event: Any = None


_json_decoder = msgspec.json.Decoder(_JsonCall)


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
        kinds = {p.name: p.kind for p in self._parameters}
        self._named_only = [n for n, kind in kinds.items() if kind is inspect.Parameter.KEYWORD_ONLY]
        self._unnamed = frozenset(n for n, kind in kinds.items() if kind is inspect.Parameter.POSITIONAL_ONLY)
        self._many = next((n for n, kind in kinds.items() if kind is _MANY), None)
        self._others = next((n for n, kind in kinds.items() if kind is _NAMED), None)
        #: Does it take `*args` or `**kwargs`? Then only `bind` knows what goes where.
        self.variadic = self._many is not None or self._others is not None

    @property
    def names(self) -> list[str]:
        """The names of the parameters, in order."""
        return [p.name for p in self._parameters]

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> msgspec.Struct:
        """The arguments as a Struct; `TypeError` when the function could not be called with them."""
        try:
            if self.variadic:
                return self.struct(**inspect.signature(self._function).bind(*args, **kwargs).arguments)
            if kwargs and not self._unnamed.isdisjoint(kwargs):
                inspect.signature(self._function).bind(*args, **kwargs)
            return self.struct(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self._name}(): {error}") from None

    def encode(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
        """The arguments as bytes; `TypeError` when they don't fit the signature or can't be encoded."""
        if not kwargs and not self.variadic:
            try:
                return _encoder.encode(self.struct(*args))
            except _UNENCODABLE:
                pass  # what is wrong is told below
        return self.encode_bound(self.bind(args, kwargs))

    def encode_bound(self, arguments: msgspec.Struct) -> bytes:
        """Arguments that are bound already, as bytes; `TypeError` when one of them can't be encoded."""
        try:
            return _encoder.encode(arguments)
        except _UNENCODABLE as error:
            raise self._blame(arguments, error) from None

    def _blame(self, arguments: msgspec.Struct, error: Exception) -> TypeError:
        """The error that names the argument which can't be encoded."""
        for name in self.names:
            try:
                _encoder.encode(getattr(arguments, name))
            except _UNENCODABLE as its:
                return TypeError(f"{self._name}(): argument {name!r} can't be encoded: {its}")
        return TypeError(f"{self._name}(): {error}")

    def decode(self, payload: bytes) -> msgspec.Struct:
        """The arguments that bytes stand for, checked against the type hints; `PayloadError` when they don't fit.

        Bytes that begin with `{` are JSON, `{"args": [...], "kwargs": {...}}`, as SQL and other languages write it. A map of two is
        an event, as `penstock.core.topics.body` makes it: the first argument, beside its `topic` where the function takes that. JSON
        has it as `{"topic": "...", "event": ...}`.
        """
        if payload[:1] < _ARRAYS:
            if payload[:1] == b"{":
                return self._decode_json(payload)
            if payload[:1] == b"\x82":
                return self._decode_event(payload)
            if payload[:1] == handing.MARK and start_of(payload) is None:
                payload = self._handed(payload)
        try:
            arguments: msgspec.Struct = self._decoder.decode(payload)
        except _UNFIT as error:
            raise PayloadError(unread(payload, self._explain(error))) from None
        return arguments

    def _handed(self, payload: bytes) -> bytes:
        """The payload of a job that was handed results, as if it had been sent with them."""
        try:
            args, kwargs = handing.read(payload)
            return _encoder.encode(self.bind(args, kwargs))
        except _UNENCODABLE as error:
            raise PayloadError(f"{self._name}(): {error}") from None

    def encode_open(self, args: Sequence[Any], kwargs: Mapping[str, Any], shape: Sequence[int]) -> bytes:
        """The arguments as bytes, before which the job is handed results when it starts; `TypeError` when they do not fit or can't be encoded.

        Parameters:
            shape: see `penstock.core.handing.opened`.
        """
        self.encode([*[None] * len(shape), *args], kwargs)
        return handing.opened(args, kwargs, shape)

    def _decode_json(self, payload: bytes) -> msgspec.Struct:
        try:
            given = _json_decoder.decode(payload)
            bound = self.bind(given.args, given.kwargs) if given.topic is None else self._bind_event(given)
            # As JSON has it throughout, defaults too: then dates, ids and bytes are read from text.
            values = msgspec.to_builtins(msgspec.structs.astuple(bound))
            arguments: msgspec.Struct = msgspec.convert(values, self.struct)
        except TypeError as error:
            raise PayloadError(str(error)) from None
        except _UNFIT as error:
            raise PayloadError(self._explain(error)) from None
        return arguments

    def _decode_event(self, payload: bytes) -> msgspec.Struct:
        try:
            return self._bind_event(self._event_decoder.decode(payload))
        except TypeError as error:
            raise PayloadError(str(error)) from None
        except _UNFIT as error:
            raise PayloadError(f"{self._name}(): {str(error).replace('`$.event', f'`{self.names[0]}')}") from None

    def _bind_event(self, found: Any) -> msgspec.Struct:
        if not self.takes_event:
            raise TypeError(f"{self._name}() is called with an event, and takes something else")
        return self.struct(found.event, topic=found.topic) if self.takes_topic else self.struct(found.event)

    @property
    def takes_event(self) -> bool:
        """Can it be called with an event, or with one and its topic?"""
        first = self._parameters[0].name if self._parameters else _TOPIC
        return (
            not self.variadic and first not in self._named_only and len(self._parameters) == 1 + self.takes_topic
        )  # fmt: skip

    @property
    def takes_topic(self) -> bool:
        """Has it a second parameter for an event's topic?"""
        return len(self._parameters) == 2 and self._parameters[1].name == _TOPIC

    @cached_property
    def _event_decoder(self) -> msgspec.msgpack.Decoder[Any]:
        hint = self._hints().get(self.names[0], Any) if self._parameters else Any
        return msgspec.msgpack.Decoder(msgspec.defstruct("Event", [(_TOPIC, str), ("event", hint)], gc=False))

    def call(self, arguments: msgspec.Struct) -> Any:
        """Call the function with decoded arguments."""
        values = msgspec.structs.astuple(arguments)
        if self.variadic:
            return self._call_variadic(dict(zip(self.names, values, strict=True)))
        if self._named_only:
            split = len(values) - len(self._named_only)
            return self._function(*values[:split], **dict(zip(self._named_only, values[split:], strict=True)))
        return self._function(*values)

    def _call_variadic(self, values: dict[str, Any]) -> Any:
        many = values.pop(self._many) if self._many is not None else ()
        others = values.pop(self._others) if self._others is not None else {}
        named = {name: values.pop(name) for name in self._named_only}
        return self._function(*values.values(), *many, **named, **others)

    @cached_property
    def struct(self) -> type[msgspec.Struct]:
        """The Struct of the arguments."""
        hints = self._hints()
        if self.variadic:
            fields = [_field(p, hints) for p in self._parameters]
            return msgspec.defstruct("Arguments", fields, array_like=True, gc=False, kw_only=True)
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


class ItemSignature(Signature):
    """How one item travels to a function that is called with a list of them.

    Raises:
        ConfigError: the function takes more than the list.
    """

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        super().__init__(name, function)
        needed = [p for p in self._parameters if p.default is inspect.Parameter.empty]
        if self.variadic or len(self._parameters) != 1 or len(needed) != 1 or self._named_only:
            raise ConfigError(f"{name}() is called with a list of items: give it one parameter, `items: list[Item]`")

    def _hints(self) -> dict[str, Any]:
        hint = super()._hints().get(self.names[0], Any)
        kinds = typing.get_args(hint)
        return {self.names[0]: kinds[0] if kinds else Any}


def _field(parameter: inspect.Parameter, hints: dict[str, Any]) -> Any:
    hint: Any = hints.get(parameter.name, Any)
    if parameter.kind is _MANY:
        return (parameter.name, cast(Any, tuple)[hint, ...], ())
    if parameter.kind is _NAMED:
        return (parameter.name, cast(Any, dict)[str, hint], msgspec.field(default_factory=dict))
    if parameter.default is inspect.Parameter.empty:
        return (parameter.name, hint)
    default = parameter.default
    if default is None:
        # `x: int = None` says less than it means.
        hint = typing.Optional[hint]  # noqa: UP045
    if isinstance(default, _PLAIN):
        return (parameter.name, hint, default)
    return (parameter.name, hint, msgspec.field(default_factory=lambda: default))


def encode_value(value: Any) -> bytes:
    """A return value as bytes; `TypeError` when it can't be encoded."""
    try:
        return _encoder.encode(value)
    except _UNENCODABLE as error:
        raise TypeError(str(error)) from None


def decode_value(data: bytes, type: Any = Any) -> Any:
    """A return value from its bytes; `PayloadError` when they aren't of that type."""
    try:
        return msgspec.msgpack.decode(data, type=type)
    except _UNFIT as error:
        raise PayloadError(unread(data, str(error))) from None


def encode_failure(failure: Failure | None) -> bytes | None:
    """A failure as bytes. An exception may quote a file name that is no Unicode, which is no reason to lose its end."""
    if failure is None:
        return None
    try:
        return _encoder.encode(failure)
    except UnicodeEncodeError:
        texts = (failure.kind, failure.message, failure.traceback)
        return _encoder.encode(Failure(*map(storable, texts)))
