"""`penstock enqueue`: storing a job by hand."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import click

from penstock.cli import output
from penstock.cli.options import examples, json_option
from penstock.errors import ConfigError, PayloadError

if TYPE_CHECKING:
    from penstock.task import Task


@click.command(
    epilog=examples(
        "enqueue shop:app invoice '[\"ada\", 1250]'",
        "enqueue shop:app.invoice '[\"ada\", 1250]' --wait 10",
        'enqueue shop:app invoice --kwargs \'{"customer": "ada", "cents": 1250}\' --delay 60',
    )
)
@click.argument("target")
@click.argument("task", required=False, metavar="TASK")
@click.argument("args", required=False, metavar="[ARGS]")
@click.option("--kwargs", metavar="JSON", help="Arguments by name, as a JSON object.")
@click.option("--queue", metavar="NAME", help="Instead of the task's own.")
@click.option("--priority", type=click.IntRange(0, 9), help="0 to 9, higher first; instead of the task's own.")
@click.option("--delay", type=click.FloatRange(0), metavar="SECONDS", help="Wait so long before the job may run.")
@click.option("--unique", metavar="KEY", help="Store it only if no job with this key waits or runs.")
@click.option(
    "--expires",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="It has to start so soon after it is due.",
)
@click.option(
    "--wait", type=click.FloatRange(0), metavar="SECONDS", help="Wait so long for its end, and print its result."
)
@json_option
def enqueue(
    target: str,
    task: str | None,
    args: str | None,
    kwargs: str | None,
    queue: str | None,
    priority: int | None,
    delay: float | None,
    unique: str | None,
    expires: float | None,
    wait: float | None,
    as_json: bool,
) -> None:
    """Store a job of TASK of the app TARGET, and print its id.

    ARGS is a JSON array of its arguments. They are converted by the task's type hints: a text may become a datetime,
    an object a dataclass. TASK is the task's full name, or the last part of it where that is enough. It may also be written as
    part of TARGET: package.module:app.task

    JSON: an object of `id`, `new` (false when another job has the key of --unique already: then it is that one's id)
    and, with --wait, `state` and `result`.
    """
    from penstock.cli.place import import_app
    from penstock.cli.readable import plain
    from penstock.core.codec import decode_value

    target, task, args = target_of(target, task, args)
    app = import_app(target)
    found = app.find(task).options(queue=queue, priority=priority, delay=delay, unique=unique, expires=expires)
    values, named = converted(found, json_value(args, "ARGS", list, []), json_value(kwargs, "--kwargs", dict, {}))
    try:
        new = found.job(values, named)
    except TypeError as error:
        raise PayloadError(str(error)) from error
    (job,) = found.send([new])
    said: dict[str, Any] = {"id": job.id, "new": job.key == new.id}
    if not as_json:
        click.echo(job.id)
        if job.key != new.id:
            click.echo("not stored: this job has the key already", err=True)
    if wait is not None:
        value = app.client.wait(job.key, wait)
        result = None if value is None else plain(decode_value(value))
        if not as_json:
            output.print_json(result)
        said |= {"state": "done", "result": result}
    if as_json:
        output.print_json(said)


def target_of(target: str, task: str | None, args: str | None) -> tuple[str, str, str | None]:
    """The app's target, the task's name and the arguments, whichever way the task was written."""
    module, colon, attribute = target.partition(":")
    app, dot, name = attribute.partition(".")
    if not dot:
        if task is None:
            raise click.UsageError(f"name the task: {target} TASK, or {module}:{app or 'app'}.TASK")
        return target, task, args
    if args is not None:
        raise click.UsageError(f"name one task: {name!r} or {task!r}")
    return f"{module}{colon}{app}", name, task


def json_value(text: str | None, name: str, wanted: type, default: Any) -> Any:
    """What an argument or option says in JSON; the default where it is not given.

    Parameters:
        name: of the argument or option.
        wanted: list or dict.
    """
    import msgspec

    if text is None:
        return default
    kind, example = ("array", '["ada", 1250]') if wanted is list else ("object", '{"customer": "ada"}')
    try:
        value = msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise click.UsageError(f"{name} is not JSON ({error}): write an {kind}, such as '{example}'") from None
    if not isinstance(value, wanted):
        raise click.UsageError(f"{name} is a JSON {kind}, such as '{example}'")
    return value


def converted(task: Task[Any, Any], args: list[Any], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments as the task's type hints want them."""
    import msgspec

    try:
        bound = inspect.signature(task.function).bind(*args, **kwargs)
    except TypeError as error:
        raise PayloadError(f"{task.name}(): {error}") from None
    hints = {field.name: field.type for field in msgspec.structs.fields(task.signature.struct)}
    for name, value in bound.arguments.items():
        if hints.keys() >= bound.arguments.keys():
            try:
                bound.arguments[name] = msgspec.convert(value, hints[name])
            except msgspec.ValidationError as error:
                raise PayloadError(f"{task.name}(): {str(error).replace('`$', f'`{name}')}{_at(name, error)}") from None
            except TypeError as error:
                raise ConfigError(f"{task.name}(): {name} can't be made from JSON: {error}") from None
    return bound.args, bound.kwargs


def _at(name: str, error: Exception) -> str:
    return "" if "`$" in str(error) else f" - at `{name}`"
