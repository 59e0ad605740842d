"""The command `penstock`: a group whose commands are loaded when they are called."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

import click

from penstock.errors import PenstockError

_EXIT_FAILED = 1
_EXIT_INTERRUPTED = 130

#: name -> where it is, and its line in `penstock --help`, which loads none of them.
COMMANDS: dict[str, tuple[str, str]] = {
    "worker": ("penstock.cli.worker:worker", "Run the jobs of an app."),
    "load": ("penstock.cli.load:load", "Load a file into a database or through a task."),
    "status": ("penstock.cli.status:status", "Show queues and workers."),
    "health": ("penstock.cli.health:health", "Say whether a worker does its work."),
    "jobs": ("penstock.cli.jobs:jobs", "List jobs."),
    "show": ("penstock.cli.jobs:show", "Show all there is to know of a job."),
    "explain": ("penstock.cli.explain:explain", "Say why a job is not running."),
    "wait": ("penstock.cli.wait:wait", "Wait until jobs have ended."),
    "retry": ("penstock.cli.repair:retry", "Run dead and cancelled jobs again."),
    "cancel": ("penstock.cli.repair:cancel", "Cancel jobs that wait or run."),
    "purge": ("penstock.cli.repair:purge", "Delete jobs that are not running."),
    "move": ("penstock.cli.move:move", "Move a live queue's jobs to another store."),
    "enqueue": ("penstock.cli.enqueue:enqueue", "Store a job."),
    "subscriptions": ("penstock.cli.subscriptions:subscriptions", "List who gets the events of which topics."),
    "subscribe": ("penstock.cli.subscriptions:subscribe", "Keep the subscriptions of an app."),
    "unsubscribe": ("penstock.cli.subscriptions:unsubscribe", "End subscriptions of a group."),
    "schedules": ("penstock.cli.schedules:schedules", "Show and change what runs by the clock."),
    "install": ("penstock.cli.install:install", "Create a queue's tables, or bring them up to date."),
    "upgrade": ("penstock.cli.install:upgrade", "Bring a queue's tables up to date."),
    "sql": ("penstock.cli.install:sql", "Print what install would run."),
    "doctor": ("penstock.cli.install:doctor", "Look for what is wrong with a store."),
    "chaos": ("penstock.cli.chaos:chaos", "Kill workers on a store, and count what is lost."),
    "demo": ("penstock.cli.demo:demo", "See 100,000 records go through a queue."),
}


class Commands(click.Group):
    """A group that imports a command's module when the command is called, and says what went wrong in one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's own, which loads every command to suggest one for a name that is mistyped."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            close = get_close_matches(args[0], COMMANDS, 1)
            ctx.fail(f"no command {args[0]!r}" + (f": did you mean {close[0]!r}?" if close else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command line; as a program (`standalone_mode`), end with an exit code and an error as one line."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        return _leave(self._run(args, complete_var, extra))

    def _run(self, args: Sequence[str] | None, complete_var: str | None, extra: dict[str, Any]) -> int:
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            returned = super().main(args, "penstock", complete_var, standalone_mode=False, **extra)
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            return error.exit_code
        except click.ClickException as error:
            context = getattr(error, "ctx", None)
            hint = f" ({context.command_path} --help says more)" if context is not None else ""
            return _complain(f"{error.format_message().rstrip('.')}{hint}", error.exit_code)
        except (click.Abort, KeyboardInterrupt):
            click.echo(err=True)
            return _EXIT_INTERRUPTED
        except PenstockError as error:
            return _complain(str(error), _EXIT_FAILED)
        except OSError as error:
            if error.errno == errno.EPIPE:
                return _EXIT_FAILED
            return _complain(
                f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}", _EXIT_FAILED
            )
        except SystemExit as error:
            return error.code if isinstance(error.code, int) else 0
        return returned if isinstance(returned, int) else 0


def _complain(message: str, code: int) -> int:
    from penstock.core.masking import without_passwords
    from penstock.core.text import shown

    click.echo(f"penstock: {shown(without_passwords(' '.join(message.split())))}", err=True)
    return code


def _leave(code: int) -> NoReturn:
    """End the program; a reader that has gone, as in `penstock jobs | head`, is no error worth a word."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\b\nExamples:\n"
    "  penstock worker shop:app                    run the jobs of the app in shop.py\n"
    "  penstock status shop:app                    its queues and workers\n"
    "  penstock load orders.jsonl --into sqlite:///market.db --create",
)
@click.version_option(
    package_name="penstock", prog_name="penstock", message="%(prog)s %(version)s", help="Show the version."
)
def main() -> None:
    """Penstock: a task queue and bulk processor that starts as one file.

    WHERE, in the commands below, is an app (package.module:app) or the URL of a queue (sqlite:///jobs.db). It is the
    first argument, which has a colon as no job's id does, or the option -w. Without it, $PENSTOCK_URL is used, else
    the url in penstock.toml, else sqlite:///penstock.db. Reading never makes a queue that is not there.

    On a terminal there are colours, elsewhere aligned text. Programs read --json: its times are ISO 8601 in UTC, its
    durations seconds, and bytes are base64.
    """
