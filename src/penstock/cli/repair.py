"""`penstock retry`, `cancel` and `purge`: putting right what went wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any

import click
import msgspec

from penstock.cli import output
from penstock.cli.options import examples, filters, job_ids, json_option, split_where, where_option
from penstock.core.text import shown

if TYPE_CHECKING:
    from penstock.brokers.base import Broker
    from penstock.brokers.inspect import Inspector, Selection

_ENDED = ["dead", "cancelled"]
_WAITING = ["ready", "delayed", "parked", "waiting"]
_UNENDED = ("running", *_WAITING)
_COUNTED = 100

_yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask; needed where there is no terminal.")
_words = click.argument("words", nargs=-1, metavar="[WHERE] [JOB]...")


class _Choice(msgspec.Struct, frozen=True):
    """Which jobs the command line names, and how to go about it."""

    words: tuple[str, ...]
    where: str | None
    state: str | None
    queue: str | None
    task: str | None
    yes: bool
    as_json: bool

    @property
    def is_filtered(self) -> bool:
        """Do any of the options narrow the jobs down?"""
        return bool(self.state or self.queue or self.task)


def _choosing(states: Sequence[str]) -> Callable[[Callable[[_Choice], int]], Callable[..., int]]:
    """The arguments and options that the three commands share, as one value."""

    def decorate(function: Callable[[_Choice], int]) -> Callable[..., int]:
        @wraps(function)
        def command(**given: Any) -> int:
            return function(_Choice(**given))

        chosen: Callable[..., int] = command
        for option in (json_option, _yes_option, filters(states), where_option, _words):
            chosen = option(chosen)
        return chosen

    return decorate


@click.command(
    epilog=examples(
        "retry shop:app 0197b3a4-6c1e-7000-8000-000000000000",
        "retry shop:app --state dead --queue mail",
        "retry shop:app --yes                # everything dead or cancelled",
    )
)
@_choosing(_ENDED)
def retry(choice: _Choice) -> int:
    """Make dead and cancelled jobs ready again, with all their attempts; or go on with a workflow from where it failed, by its id.

    Name jobs by their ids, or say which with --state, --queue and --task; with neither, it asks. Prints how many; when
    no job fits, the exit code is 1. JSON: an object of `retried`, how many.
    """
    return _Repair("retry", "retried", _ENDED).run(choice, ask=not (choice.yes or choice.is_filtered))


@click.command(
    epilog=examples(
        "cancel shop:app 0197b3a4-6c1e-7000-8000-000000000000",
        "cancel shop:app --state delayed --task shop.invoice",
        "cancel sqlite:///jobs.db --queue mail",
    )
)
@_choosing(_UNENDED)
def cancel(choice: _Choice) -> int:
    """Cancel jobs, or a workflow by its id. They are kept, and can be retried.

    One that runs is interrupted, and its process killed when it does not end within its task's kill_after; one that
    returns all the same is done. It counts here when it is asked to end.

    Name jobs by their ids, or say which with --state, --queue and --task; with neither, it asks. Prints how many; when
    no job fits, the exit code is 1. JSON: an object of `cancelled`, how many.
    """
    return _Repair("cancel", "cancelled", _UNENDED).run(choice, ask=not (choice.yes or choice.is_filtered))


@click.command(
    epilog=examples(
        "purge shop:app 0197b3a4-6c1e-7000-8000-000000000000",
        "purge shop:app --state dead",
        "purge shop:app --queue mail --yes",
    )
)
@_choosing([*_WAITING, *_ENDED])
def purge(choice: _Choice) -> int:
    """Delete jobs for good. Jobs that are running are left alone.

    Name jobs by their ids, or say which with --state, --queue and --task; without ids it asks. Prints how many; when no
    job fits, the exit code is 1. JSON: an object of `purged`, how many.
    """
    return _Repair("purge", "purged", [*_WAITING, *_ENDED]).run(choice, ask=not choice.yes)


class _Repair:
    """One of the three.

    Parameters:
        verb: what it is called.
        done: the same of jobs that it was done to.
        states: of the jobs that it fits.
    """

    def __init__(self, verb: str, done: str, states: Sequence[str]) -> None:
        self._verb = verb
        self._done = done
        self._states = states

    def run(self, choice: _Choice, *, ask: bool) -> int:
        """Find the jobs, ask if that is needed, do it; returns an exit code."""
        from penstock.brokers.inspect import Selection
        from penstock.cli.place import find_place
        from penstock.core.states import State

        where, rest = split_where(choice.where, choice.words)
        ids = job_ids(rest) or None
        state = None if choice.state is None else State(choice.state)
        selection = Selection(ids=ids, state=state, queue=choice.queue, task=choice.task)
        with find_place(where).broker() as broker:
            inspector = broker.inspector()
            if ids is None and ask:
                self._confirm(inspector, selection, listed=broker.keeps_records or self._verb == "retry")
            count, left_over = self._do_workflows(broker, ids)
            if ids is None or left_over:
                selection = msgspec.structs.replace(selection, ids=left_over)
                count += self._do(inspector, selection)
            why = "" if count else self._why_none(broker, selection)
        if choice.as_json:
            output.print_json({self._done: count})
        elif count:
            missed = max(0, len(set(ids)) - count) if ids else 0
            left = f"; {missed} could not be" if missed else ""
            click.echo(f"{self._done} {_jobs(count)}{left}")
        if not count:
            click.echo(f"penstock: {why}", err=True)
        return 0 if count else 1

    def _do_workflows(self, broker: Broker, ids: tuple[bytes, ...] | None) -> tuple[int, tuple[bytes, ...] | None]:
        """Do it to those that are workflows; returns to how many jobs, and the ids that are left."""
        from penstock.cli.place import find_workflow

        if ids is None or self._verb == "purge":
            return 0, ids
        found = {id: record.id for id in ids if (record := find_workflow(broker, id)) is not None}
        done = 0
        for id in dict.fromkeys(found.values()):
            flows = broker.workflows()
            done += flows.resume(id) if self._verb == "retry" else flows.cancel(id)
        return done, tuple(id for id in ids if id not in found)

    def _do(self, inspector: Inspector, selection: Selection) -> int:
        match self._verb:
            case "retry":
                return inspector.retry(selection)
            case "cancel":
                return inspector.cancel(selection)
            case _:
                return inspector.delete(selection)

    def _confirm(self, inspector: Inspector, selection: Selection, *, listed: bool) -> None:
        if not sys.stdin.isatty():
            raise click.UsageError(f"to {self._verb} jobs that are not named by their ids, add --yes")
        import msgspec

        from penstock.core.states import State

        states = self._states if selection.state is None else [selection.state]
        found = 0
        for state in states:
            one = msgspec.structs.replace(selection, state=State(state))
            found += len(inspector.list(one, limit=_COUNTED + 1 - found)) if found <= _COUNTED else 0
        many = f"more than {_COUNTED} jobs" if found > _COUNTED else _jobs(found) if listed else "all jobs"
        if (found or not listed) and not click.confirm(f"{self._verb} {many} ({self._which(selection)})?", err=True):
            raise click.exceptions.Exit(1)

    def _which(self, selection: Selection) -> str:
        given = [
            f"{name} {shown(str(value))}"
            for name, value in (("state", selection.state), ("queue", selection.queue), ("task", selection.task))
            if value is not None
        ]
        return ", ".join(given) or f"all that are {_or(self._states)}"

    def _why_none(self, broker: Broker, selection: Selection) -> str:
        """For one job, or workflow, where it stands."""
        if selection.ids is None or len(selection.ids) != 1:
            return f"nothing to {self._verb}: no job fits"
        from penstock.cli.place import find_workflow
        from penstock.core.ids import format_id

        record, flow = broker.inspector().get(selection.ids[0]), find_workflow(broker, selection.ids[0])
        id = format_id(selection.ids[0])
        if flow is not None:
            return f"nothing to {self._verb}: {id} is a workflow that is {flow.state.value}"
        if record is None:
            return f"nothing to {self._verb}: {id} is not stored; it ended well, or it was never here"
        if record.state in self._states:
            return f"nothing to {self._verb}: {id} is a job of {shown(record.task)} in queue {shown(record.queue)}"
        return f"nothing to {self._verb}: {id} is {record.state.value}, not {_or(self._states)}"


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count:,} jobs"


def _or(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"
