"""The reference pages name everything there is, and every link inside the documents leads somewhere."""

import inspect
from collections.abc import Iterator
from pathlib import Path

import click
import documents
import pytest

import penstock
from penstock import errors
from penstock.cli.main import main
from penstock.core.outcome import Ending
from penstock.core.states import State

REFERENCE = documents.ROOT / "docs" / "reference"


def cli_commands() -> Iterator[tuple[str, click.Command]]:
    def walk(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
        yield path, command
        if isinstance(command, click.Group):
            context = click.Context(command, info_name=path)
            for each in command.list_commands(context):
                found = command.get_command(context, each)
                assert found is not None
                if not found.hidden:
                    yield from walk(f"{path} {each}", found)

    return walk("penstock", main)


COMMANDS = dict(cli_commands())


def sections(document: Path) -> dict[str, str]:
    """The text under each heading, by the heading without its backticks."""
    found: dict[str, list[str]] = {}
    here = found.setdefault("", [])
    fenced = False
    for line in document.read_text("utf-8").splitlines():
        fenced ^= line.startswith("```")
        if line.startswith("#") and not fenced:
            here = found.setdefault(line.lstrip("#").strip().replace("`", ""), [])
        else:
            here.append(line)
    return {heading: "\n".join(lines) for heading, lines in found.items()}


def test_there_are_commands() -> None:
    assert {"penstock worker", "penstock load", "penstock status"} <= set(COMMANDS)


@pytest.mark.parametrize("path", COMMANDS)
def test_the_cli_page_has_every_command_and_option(path: str) -> None:
    text = sections(REFERENCE / "cli.md").get(path)
    assert text is not None, f"docs/reference/cli.md has no section {path}"
    lines = text.splitlines()
    for parameter in COMMANDS[path].params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.help, f"{path} {parameter.opts} has no help"
            for name in [*parameter.opts, *parameter.secondary_opts]:
                described = [line for line in lines if f"`{name}" in line]
                assert described, f"docs/reference/cli.md, {path}: {name} is missing"
                assert len(described[0].rstrip(" |").rpartition("| ")[2]) > 10, f"{path}: {name} has no line of help"
        elif isinstance(parameter, click.Argument):
            assert str(parameter.make_metavar(click.Context(COMMANDS[path]))).strip("[]{}.").upper() in text.upper()


def test_the_cli_page_has_no_command_that_is_gone() -> None:
    named = {heading for heading in sections(REFERENCE / "cli.md") if heading.startswith("penstock")}
    assert named <= set(COMMANDS)


def test_the_api_page_has_every_public_name() -> None:
    text = (REFERENCE / "api.md").read_text("utf-8")
    assert [name for name in penstock.__all__ if f"`{name}" not in text] == []


def test_the_errors_page_has_every_error() -> None:
    text = (REFERENCE / "errors.md").read_text("utf-8")
    classes = [
        name for name, value in inspect.getmembers(errors, inspect.isclass) if value.__module__ == errors.__name__
    ]
    assert [name for name in classes if f"`{name}`" not in text] == []


def test_the_states_page_has_every_state_and_ending() -> None:
    text = (REFERENCE / "states.md").read_text("utf-8")
    assert [state for state in State if f"| `{state.value}` |" not in text] == []
    assert [ending for ending in Ending if f"| `{ending.name}` |" not in text] == []


@pytest.mark.parametrize(
    "document", documents.DOCUMENTS, ids=lambda document: str(document.relative_to(documents.ROOT))
)
def test_every_internal_link_resolves(document: Path) -> None:
    for link in documents.links(document):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), f"{document}: {link}"
        assert target.is_relative_to(documents.ROOT), f"{document}: {link} leads out of the repository"
        if anchor and target.suffix == ".md":
            assert anchor in documents.anchors(target), f"{document}: {link}"


def test_every_page_is_reached_from_the_index() -> None:
    seen: set[Path] = set()
    waiting = [documents.ROOT / "README.md", documents.ROOT / "docs" / "index.md"]
    while waiting:
        page = waiting.pop()
        seen.add(page)
        for link in documents.links(page):
            target = (page.parent / link.partition("#")[0]).resolve()
            if "://" not in link and target.suffix == ".md" and target.exists() and target not in seen:
                waiting.append(target)
    unreached = {document for document in documents.DOCUMENTS if document not in seen}
    assert {page.name for page in unreached} <= {"0000-template.md"}
