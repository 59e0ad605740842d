"""Every snippet in the documents runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import documents
import pytest


def name(document: Path) -> str:
    return str(document.relative_to(documents.ROOT))


@pytest.mark.parametrize("document", list(filter(documents.runs, documents.DOCUMENTS)), ids=name)
def test_snippets_run(document: Path, tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PENSTOCK_")}
    ended = subprocess.run(
        [sys.executable, "-W", "error", documents.__file__, str(document)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr, ended.stderr


def test_the_main_documents_have_snippets() -> None:
    running = {name(document) for document in documents.DOCUMENTS if documents.runs(document)}
    assert running >= {
        "README.md",
        "docs/tutorial/first-queue.md",
        "docs/how-to/load-a-file.md",
        "docs/how-to/test-your-tasks.md",
    }


@pytest.mark.parametrize("document", documents.DOCUMENTS, ids=name)
def test_every_block_names_its_language(document: Path) -> None:
    for block in documents.blocks(document):
        assert block.language in documents.LANGUAGES, f"{document}:{block.line}: {block.language!r}"


@pytest.mark.parametrize("document", documents.DOCUMENTS, ids=name)
def test_no_snippet_is_left_out(document: Path) -> None:
    assert not re.search(r"<!--\s*no-?run", document.read_text("utf-8"))
