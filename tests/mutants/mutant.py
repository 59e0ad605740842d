"""Deliberate faults: what each changes, which promise it breaks, and the tests that must notice."""

import ast
import tomllib
from functools import cache
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "penstock"
FOLDER = Path(__file__).resolve().parent
#: Tests of what every broker must do are written here, and run by a class that has only their names.
CONTRACT = PACKAGE / "testing" / "contract"
RUNS_CONTRACT = "tests/brokers/test_contract.py"


class DoesNotApply(Exception):
    """A mutant's text is not in its file, or not only once: the product has changed."""


class Mutant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One fault, of the kind that a tired engineer writes.

    Parameters:
        name: unique; also names it on the command line.
        breaks: the promise that no longer holds.
        file: in src/penstock.
        before: text that is in the file exactly once.
        after: what takes its place.
        tests: node ids; each has to fail. One without [parameters] has failed where any of its cases has.
    """

    name: str
    breaks: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]

    def mutated(self, package: Path = PACKAGE) -> str:
        """The file's text with the fault in it.

        Raises:
            DoesNotApply: the text to replace is not there exactly once.
        """
        path = package / self.file
        text = path.read_text("utf-8") if path.is_file() else ""
        count = text.count(self.before)
        if count != 1:
            raise DoesNotApply(
                f"{self.name}: its text is {count} times in {self.file}: change the mutant along with the code"
            )
        return text.replace(self.before, self.after)

    def has_failed(self, test: str, failed: set[str]) -> bool:
        """Is one of its tests among those that failed?"""
        return any(each == test or ("[" not in test and each.startswith(f"{test}[")) for each in failed)


class _Area(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    mutant: tuple[Mutant, ...]


def mutants() -> dict[str, list[Mutant]]:
    """All mutants, by area: one file of them each."""
    return {
        path.stem: list(msgspec.convert(tomllib.loads(path.read_text("utf-8")), _Area).mutant)
        for path in sorted(FOLDER.glob("*.toml"))
    }


@cache
def _functions(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text("utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def is_written(test: str) -> bool:
    """Is there a test function of that node id?"""
    path, _, name = test.partition("::")
    function = name.partition("[")[0].rpartition("::")[2]
    files = [ROOT / path, *(CONTRACT.glob("*.py") if path == RUNS_CONTRACT else ())]
    return all(file.is_file() for file in files) and any(function in _functions(file) for file in files)
