"""How events reach the functions that handle them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cached_property
from typing import Any

import msgspec

from penstock.core.codec import Signature
from penstock.errors import ConfigError, PayloadError

_TOPIC = "topic"
_UNFIT = (msgspec.MsgspecError, RecursionError, OverflowError, ValueError)


class EventSignature(Signature):
    """How an event travels to a function of it, which may have a second parameter, `topic`.

    A job of its own, sent by `.delay`, has arguments as any other.

    Raises:
        ConfigError: the function takes something else.
    """

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        super().__init__(name, function)
        self._takes_topic = len(self._parameters) == 2 and self._parameters[1].name == _TOPIC
        first = self._parameters[0].kind if self._parameters else inspect.Parameter.VAR_KEYWORD
        fits = len(self._parameters) == 1 + self._takes_topic and first is not inspect.Parameter.KEYWORD_ONLY
        if self.variadic or not fits:
            raise ConfigError(
                f"{name}() is called with an event: give it one parameter, or two, of which one is {_TOPIC}"
            )

    def decode(self, payload: bytes) -> msgspec.Struct:
        """See `Signature.decode`; the job of an event has what `penstock.core.topics.body` makes."""
        if payload[:1] != b"\x82":  # a map of two
            return super().decode(payload)
        try:
            found = self._body.decode(payload)
        except _UNFIT as error:
            text = str(error).replace("`$.event", f"`{self.names[0]}")
            raise PayloadError(f"{self._name}(): {text}") from None
        return self.struct(found.event, topic=found.topic) if self._takes_topic else self.struct(found.event)

    @cached_property
    def _body(self) -> msgspec.msgpack.Decoder[Any]:
        hint = self._hints().get(self.names[0], Any)
        return msgspec.msgpack.Decoder(msgspec.defstruct("Body", [(_TOPIC, str), ("event", hint)], gc=False))
