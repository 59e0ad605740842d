"""The project's documents, as the tests read them, and the runner of their snippets.

Run as `python documents.py DOCUMENT` it runs the document's ```python blocks in one namespace and its `$ penstock`
and `$ pytest` lines, in order, in the current directory. A ```python block whose first line is `# name.py` is not run but written to
that file, for the others to import.

A page about a server names it as in ADDRESSES; what runs is the same text with the server that an environment variable
names. On such a page of PostgreSQL's, ```sql blocks are run there, too.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
PROGRAMS = Path(sys.executable).parent
#: Servers as the pages name them, after a scheme, and the environment variable with the URL of one that is there.
ADDRESSES = {
    "://ada:secret@localhost:5432/shop": "POSTGRES_URL",
    "://localhost:27017/shop": "MONGODB_URL",
    "://localhost:6379/0": "REDIS_URL",
    "://localhost:5672/": "RABBITMQ_URL",
}
LANGUAGES = {"python", "console", "text", "json", "toml", "sql"}

_MARKDOWN = MarkdownIt("commonmark").enable("table")
_FILE_NAME = re.compile(r"# (\w+)\.py\n")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the line that its text begins on."""

    language: str
    text: str
    line: int


def tokens(document: Path) -> list[Token]:
    return _MARKDOWN.parse(document.read_text("utf-8"))


def blocks(document: Path) -> Iterator[Block]:
    for token in tokens(document):
        if token.type == "fence":
            assert token.map is not None
            yield Block(token.info.strip(), token.content, token.map[0] + 2)


def links(document: Path) -> Iterator[str]:
    for token in tokens(document):
        for child in token.children or []:
            target = child.attrs.get("href") or child.attrs.get("src")
            if target:
                yield str(target)


def anchors(document: Path) -> set[str]:
    """The anchors that a document's headings get on the usual hosts."""
    parsed = tokens(document)
    headings = [after.content for token, after in pairwise(parsed) if token.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def commands(block: Block) -> list[str]:
    """The `$ penstock` and `$ pytest` lines of a console block."""
    lines = [line.removeprefix("$ ") for line in block.text.splitlines() if line.startswith("$ ")]
    return [line for line in lines if line.split()[0] in ("penstock", "pytest")]


def runs(document: Path) -> bool:
    return any(
        block.language == "python" or (block.language == "console" and commands(block)) for block in blocks(document)
    )


def servers(document: Path) -> set[str]:
    """The environment variables that a document's snippets need."""
    text = document.read_text("utf-8")
    return {variable for address, variable in ADDRESSES.items() if address in text}


def _addressed(text: str) -> str:
    """The text, with the servers that are there in place of those that it names."""
    for address, variable in ADDRESSES.items():
        if address in text:
            text = text.replace(address, f"://{os.environ[variable].partition('://')[2]}")
    return text


def _run_sql(text: str) -> None:
    import psycopg

    with psycopg.connect(os.environ["POSTGRES_URL"], autocommit=True) as connection:
        connection.execute(text.encode())


def _run_python(block: Block, document: Path, namespace: dict[str, Any]) -> None:
    named = _FILE_NAME.match(block.text)
    if named:
        Path(f"{named[1]}.py").write_text(_addressed(block.text), "utf-8")
        return
    exec(compile("\n" * (block.line - 1) + _addressed(block.text), str(document), "exec"), namespace)


def _run_command(line: str, document: Path) -> None:
    program, *arguments = shlex.split(_addressed(line))
    ended = subprocess.run(
        [str(PROGRAMS / program), *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    print(f"$ {line}\n{ended.stdout}{ended.stderr}", flush=True)
    if ended.returncode:
        raise SystemExit(f"{document.name}: `{line}` ended with exit code {ended.returncode}")


def run(document: Path) -> None:
    sys.path.insert(0, str(Path.cwd()))
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(document):
        if block.language == "python":
            _run_python(block, document, namespace)
        elif block.language == "console":
            for line in commands(block):
                _run_command(line, document)
        elif block.language == "sql" and "POSTGRES_URL" in servers(document):
            _run_sql(block.text)


if __name__ == "__main__":
    run(Path(sys.argv[1]))
