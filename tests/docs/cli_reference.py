"""Writes docs/reference/cli.md from the commands themselves: `python tests/docs/cli_reference.py`."""

import inspect
from collections.abc import Iterator
from pathlib import Path

import click

from penstock.cli.main import main

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "cli.md"

_HEAD = """\
# Command line

`penstock COMMAND --help` says the same as this page, for the version you have. Examples are run from the folder that your
module is in.

| exit code | meaning |
| --- | --- |
| 0 | done |
| 1 | it failed, or there was nothing to do it to; the reason is one line on standard error |
| 2 | the command was not written right |
| 3 | `load --strict`: some records were refused |
| 130 | stopped by a signal |
"""


def commands(path: str = "penstock", command: click.Command = main) -> Iterator[tuple[str, click.Command]]:
    """Every command with the words it is called by."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            if not found.hidden:
                yield from commands(f"{path} {name}", found)


def options(command: click.Command) -> list[click.Option]:
    """The options that are shown."""
    return [each for each in command.params if isinstance(each, click.Option) and not each.hidden]


def page() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *(_section(path, command) for path, command in commands())])


def _section(path: str, command: click.Command) -> str:
    context = click.Context(command, info_name=path)
    help, epilog = inspect.cleandoc(command.help or ""), inspect.cleandoc(command.epilog or "")
    text, _, examples = f"{help}\n{epilog}".partition("\b\nExample")
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    parts = [f"## `{path}`", f"```text\n{usage}\n```", text.strip()]
    if examples:
        parts.append(f"```text\n{inspect.cleandoc(examples.partition(chr(10))[2])}\n```")
    rows = [_row(option, context) for option in options(command)]
    if rows:
        parts.append("\n".join(["| option | meaning |", "| --- | --- |", *rows]))
    return "\n\n".join(parts) + "\n"


def _row(option: click.Option, context: click.Context) -> str:
    metavar = "" if option.is_flag or option.count else f" {option.make_metavar(context)}"
    metavar = metavar.replace("INTEGER RANGE", "N").replace("|", "\\|")
    names = ", ".join(f"`{name}{metavar}`" for name in [*option.opts, *option.secondary_opts])
    default = f" Default: `{option.default}`." if option.show_default and option.default is not None else ""
    return f"| {names} | {option.help}{default} |"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
