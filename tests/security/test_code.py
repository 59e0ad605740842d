"""What the source may not use: what makes code of data."""

import ast
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "src" / "penstock"
FORBIDDEN = {"pickle", "_pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "copyreg", "yaml", "jsonpickle", "multiprocessing"}  # fmt: skip
CALLS = {"eval", "exec"}


def used(path: Path) -> set[str]:
    """The modules that a file imports, and what else of it may make code of data."""
    found = set[str]()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS:
            found.add(node.func.id)
        elif isinstance(node, ast.keyword) and node.arg == "shell":
            found.add("shell")
    return {name.partition(".")[0] for name in found}


def test_nothing_makes_code_or_objects_of_bytes() -> None:
    forbidden = FORBIDDEN | CALLS | {"shell"}
    found = {str(path.relative_to(SOURCE)): used(path) & forbidden for path in SOURCE.rglob("*.py")}
    assert {path: names for path, names in found.items() if names} == {}
