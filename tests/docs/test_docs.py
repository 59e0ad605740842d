"""The reference pages name everything there is, and every link inside the documents leads somewhere."""

import inspect
from pathlib import Path

import cli_reference
import documents
import pytest

import penstock
from penstock import errors
from penstock.core.outcome import Ending
from penstock.core.states import State

REFERENCE = documents.ROOT / "docs" / "reference"


COMMANDS = dict(cli_reference.commands())


def test_there_are_commands() -> None:
    assert {"penstock worker", "penstock load", "penstock status"} <= set(COMMANDS)


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_and_option_has_a_line_of_help(path: str) -> None:
    assert COMMANDS[path].help
    assert [option.opts for option in cli_reference.options(COMMANDS[path]) if len(option.help or "") < 10] == []


@pytest.mark.parametrize("path", COMMANDS)
def test_the_cli_page_has_every_command_and_option(path: str) -> None:
    text = cli_reference.PAGE.read_text("utf-8")
    section = text.partition(f"\n## `{path}`\n")[2].partition("\n## ")[0]
    for option in cli_reference.options(COMMANDS[path]):
        for name in [*option.opts, *option.secondary_opts]:
            assert f"`{name}" in section, f"{name} is missing: run `python tests/docs/cli_reference.py`"


def test_the_cli_page_says_what_the_commands_say() -> None:
    up_to_date = cli_reference.PAGE.read_text("utf-8") == cli_reference.page()
    assert up_to_date, "docs/reference/cli.md is behind the commands: run `python tests/docs/cli_reference.py`"


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
