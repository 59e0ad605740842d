"""Writes the table of docs/reference/configuration.md from the settings: `python tests/docs/configuration.py`."""

from pathlib import Path

import click

from penstock.cli.worker import worker
from penstock.settings import TABLE, Setting

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "configuration.md"
_HEAD = "| in a file | in the environment | flag | default | meaning |\n| --- | --- | --- | --- | --- |\n"


def page() -> str:
    """The page as it is, with the table as it should be."""
    before, head, after = PAGE.read_text("utf-8").partition(_HEAD)
    assert head
    rest = after.partition("\n\n")[2]
    return f"{before}{head}{''.join(map(_row, TABLE))}\n{rest}"


def _row(setting: Setting) -> str:
    default = "" if setting.default is None else f"`{setting.default}`".lower()
    meaning = setting.meaning.replace("|", "\\|")
    return f"| `{setting.name}` | `{setting.variable}` | {_flag(setting)} | {default} | {meaning} |\n"


def _flag(setting: Setting) -> str:
    for param in worker.params:
        if param.name == setting.key:
            if isinstance(param, click.Argument):
                return "TARGET"
            assert param.envvar == setting.variable
            return ", ".join(f"`{name}`" for name in param.opts)
    return ""


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
