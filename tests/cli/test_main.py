"""`penstock`: the group, its help, and how it ends."""

import json
import os
import subprocess
import sys
from importlib.metadata import version

import click
import pytest

from penstock.cli.main import COMMANDS, main

HEAVY = {"asyncio.events", "rich", "sqlite3", "penstock.brokers.sqlite.broker", "penstock.worker.supervisor"}


def test_help_lists_every_command(penstock):
    ended = penstock("--help")
    assert ended.code == 0
    for name, (_, line) in COMMANDS.items():
        assert f"{name} " in ended.out
        assert line in ended.out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_an_example(penstock, name):
    ended = penstock(name, "--help")
    assert ended.code == 0
    assert "Example" in ended.out
    assert f"\n    penstock {name}" in ended.out


@pytest.mark.parametrize("name", COMMANDS)
def test_a_module_has_the_command_of_its_row(name):
    command = main.get_command(click.Context(main), name)
    assert isinstance(command, click.Command)
    assert command.name == name


def test_version(penstock):
    assert penstock("--version").out == f"penstock {version('penstock')}\n"


@pytest.mark.parametrize("words", [[], ["--help"], ["--version"]])
def test_help_loads_no_command(words):
    script = f"""
import json, sys
from penstock.cli.main import main
try:
    main({words!r})
except SystemExit:
    pass
print(json.dumps(sorted(sys.modules)))
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(json.loads(ended.stdout.splitlines()[-1]))
    assert loaded & {module.partition(":")[0] for module, _ in COMMANDS.values()} == set()
    assert loaded & (HEAVY - {"asyncio.events"}) == set()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["stauts"], "did you mean 'status'?"),
        (["xyzzy"], "no command 'xyzzy'"),
        (["status", "--nope"], "--nope"),
        (["jobs", "--state", "lost"], "lost"),
        (["jobs", "--limit", "0"], "--limit"),
        (["worker"], "TARGET"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(penstock, words, said):
    ended = penstock(*words)
    assert ended.code == 2
    assert ended.err.startswith("penstock: ")
    assert said in ended.err
    assert ended.err.count("\n") == 1


def test_without_a_command_it_shows_the_help(penstock):
    ended = penstock()
    assert ended.code == 2
    assert "Commands:" in ended.err


def test_an_error_sends_nothing_to_the_terminal_but_text(on_terminal):
    shown = on_terminal("status", "sqlite:///\x1b[31mred.db")
    assert "\\x1b[31mred.db" in shown.out
    assert "\x1b" not in shown.out


def test_a_reader_that_is_gone_is_no_error(penstock, folder):
    penstock("enqueue", "shop:app", "invoice", '["ada"]')
    ours, theirs = os.pipe()
    os.close(ours)
    process = subprocess.Popen(
        [sys.executable, "-m", "penstock", "jobs", "shop:app"],
        cwd=folder,
        stdout=theirs,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(theirs)
    assert process.communicate(timeout=60)[1] == ""


def test_as_a_function_it_returns_and_raises():
    with pytest.raises(click.UsageError):
        main(["status", "--nope"], standalone_mode=False)
