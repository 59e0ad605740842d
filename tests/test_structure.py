"""The shape of the source: small files, small functions, nothing left undone, layers without gaps."""

import ast
import importlib
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "penstock"
FILES = sorted(PACKAGE.rglob("*.py"))
WORK_LEFT = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")

# Folders of tests that are about more than one package of the source.
BROAD = {"benchmarks", "chaos", "docs", "examples", "mutants", "nodes", "security"}

# What `import penstock` must not load: drivers, the command line's half, and what only a worker needs.
HEAVY = {
    "asyncio",
    "click",
    "concurrent.futures",
    "logging",
    "multiprocessing",
    "rich",
    "socket",
    "sqlite3",
    "subprocess",
}
# msgspec takes typing_extensions along where it is installed.
ALLOWED = {"msgspec", "penstock", "typing_extensions"}


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_a_file_has_at_most_400_lines() -> None:
    lines = {relative(path): len(path.read_text("utf-8").splitlines()) for path in FILES}
    assert {path: count for path, count in lines.items() if count > 400} == {}


def test_a_function_has_at_most_60_lines() -> None:
    lines = {
        f"{relative(path)}: {node.name}": node.end_lineno - node.lineno + 1
        for path in FILES
        for node in functions(path)
        if node.end_lineno is not None
    }
    assert {name: count for name, count in lines.items() if count > 60} == {}


def test_nothing_is_ignored_or_left_for_later() -> None:
    texts = {path: path.read_text("utf-8") for path in [*FILES, *PACKAGE.rglob("*.sql"), *PACKAGE.rglob("*.lua")]}
    ignored = "type: " + "ignore"
    assert [relative(path) for path, text in texts.items() if ignored in text or WORK_LEFT.search(text)] == []


def test_all_is_sorted_and_there() -> None:
    for path in FILES:
        if "__all__" not in path.read_text("utf-8"):
            continue
        module = importlib.import_module(module_name(path))
        names = list(module.__all__)
        assert names == sorted(names, key=lambda name: (not name.isupper(), name[0].islower(), name)), module
        assert [name for name in names if not hasattr(module, name)] == [], module


def test_the_public_package_has_an_all() -> None:
    assert "__all__" in (PACKAGE / "__init__.py").read_text("utf-8")


def test_every_package_has_an_init() -> None:
    folders = {path.parent for path in FILES}
    assert [relative(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def test_every_sql_and_lua_file_says_what_it_does() -> None:
    scripts = [*PACKAGE.rglob("*.sql"), *PACKAGE.rglob("*.lua")]
    silent = [relative(path) for path in scripts if not path.read_text("utf-8").startswith("--")]
    assert silent == []


def test_test_folders_mirror_the_source() -> None:
    tests = ROOT / "tests"
    folders = {path.parent.relative_to(tests) for path in tests.rglob("test_*.py")} - {Path()}
    strays = [str(folder) for folder in folders if folder.parts[0] not in BROAD and not (PACKAGE / folder).is_dir()]
    assert strays == []


def test_every_module_has_a_layer() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = config["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["id"] == "layers")
    known = [name.strip(" ()") for layer in layers for name in re.split(r"[|:]", layer)]
    modules = [
        module_name(path) for path in FILES if path.name != "__init__.py" or path.parent.parent != PACKAGE.parent
    ]
    packages = {name.rpartition(".")[0] for name in known}
    homeless = [
        module
        for module in modules
        if module not in packages and not any(module == name or module.startswith(f"{name}.") for name in known)
    ]
    assert homeless == []


def loaded_by(code: str) -> set[str]:
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(ended.stdout))


def test_importing_penstock_loads_no_driver() -> None:
    loaded = loaded_by("import penstock") - loaded_by("pass")
    foreign = {name.partition(".")[0] for name in loaded} - set(sys.stdlib_module_names) - ALLOWED
    assert foreign == set()
    assert loaded & HEAVY == set()


@pytest.mark.parametrize("folder", sorted(PACKAGE.rglob("migrations")), ids=relative)
def test_no_two_migrations_have_one_number(folder: Path) -> None:
    """A schema at that number would be taken to have both."""
    numbers = [path.name.partition("_")[0] for path in folder.glob("*.sql")]
    assert len(numbers) == len(set(numbers))
