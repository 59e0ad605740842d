"""Every mutant still applies, and the tests that are to kill it are there."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import page
from mutant import Mutant, is_written, mutants

ALL = {mutant.name: mutant for some in mutants().values() for mutant in some}


def test_names_are_unique() -> None:
    assert len(ALL) == sum(map(len, mutants().values()))


@pytest.mark.parametrize("mutant", ALL.values(), ids=ALL.keys())
def test_it_applies(mutant: Mutant) -> None:
    """Where it does not, the product has changed: change the mutant along with it."""
    text = mutant.mutated()
    if mutant.file.endswith(".py"):
        compile(text, mutant.file, "exec")
    assert mutant.before != mutant.after


@pytest.mark.parametrize("mutant", ALL.values(), ids=ALL.keys())
def test_its_tests_are_written(mutant: Mutant) -> None:
    assert mutant.tests
    assert [test for test in mutant.tests if not is_written(test)] == []


def test_the_page_has_them_all() -> None:
    up_to_date = page.PAGE.read_text("utf-8") == page.page()
    assert up_to_date, f"{page.PAGE.name} is behind the mutants: run `python tests/mutants/page.py`"
