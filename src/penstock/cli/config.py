"""A command whose options are settings: their values may come from the environment or from a file, too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from penstock.errors import ConfigError
from penstock.settings import SETTINGS, TABLE, read_files

F = TypeVar("F", bound=Callable[..., Any])


def setting(name: str, *flags: str, **more: Any) -> Callable[[F], F]:
    """An option of the command line that is a row of the table of settings: its help and its default are there.

    Parameters:
        name: in the table.
        flags: as `click.option` takes them; without, the setting's own name.
    """
    row = SETTINGS[name]
    names = flags or (f"--{row.key.replace('_', '-')}",)
    if row.type is bool:
        more["is_flag"] = True
    elif row.default is not None:
        more |= {"default": row.default, "show_default": True}
    return click.option(*names, row.key, envvar=row.variable, help=row.meaning, **more)


class ConfiguredCommand(click.Command):
    """Takes defaults from the settings of a file in the working folder."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click's own, with the file's values in place of defaults, and errors that say where a value is from."""
        ctx.default_map = _defaults(self.params)
        try:
            return super().parse_args(ctx, args)
        except click.BadParameter as error:
            source = _source(ctx, error.param)
            if source is None:
                raise
            raise ConfigError(f"{source}: {error.message}") from None


def _source(ctx: click.Context, param: click.Parameter | None) -> str | None:
    """Where a value is from that was not written on the command line."""
    row = next((row for row in TABLE if param is not None and row.key == param.name), None)
    if row is None:
        return None
    match ctx.get_parameter_source(row.key):
        case ParameterSource.ENVIRONMENT:
            return row.variable
        case ParameterSource.DEFAULT_MAP:
            return f"the file's setting {row.name}"
    return None


def _defaults(params: Sequence[click.Parameter]) -> dict[str, Any]:
    known = {param.name for param in params}
    found = {SETTINGS[name].key: value for name, value in read_files().items()}
    if "lanes" in found:
        found["lanes"] = [f"{queues}={how}" for queues, how in found["lanes"].items()]
    return {name: value for name, value in found.items() if name in known}
