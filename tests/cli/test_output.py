"""Tables as text, and texts that are safe to show."""

from penstock.cli.output import Cell, Column, print_fields, print_json, print_table
from penstock.core.text import shown, shown_lines

COLUMNS = [Column("name"), Column("count", right=True), Column("about", wide=True)]


def test_a_table_without_a_terminal_is_aligned_text(capsys):
    print_table(COLUMNS, [["a", Cell("10", "red"), "x" * 300], ["bbbbbb", "5", ""]])
    assert capsys.readouterr().out == f"name    count  about\na          10  {'x' * 300}\nbbbbbb      5\n"


def test_fields_are_aligned(capsys):
    print_fields([("a", "1"), ("longer", Cell("2", "bold"))])
    assert capsys.readouterr().out == "a       1\nlonger  2\n"


def test_json(capsys):
    print_json({"a": b"x", "b": "ü"})
    assert capsys.readouterr().out == '{\n  "a": "eA==",\n  "b": "ü"\n}\n'


def test_control_characters_are_written_out():
    assert shown("a\x1b[2J\r\nb\u202e\ud800") == "a\\x1b[2J\\r\\nb\\u202e\\ud800"
    assert shown("äöü 漢字") == "äöü 漢字"
    assert shown("x" * 50, 10) == "x" * 9 + "…"
    assert shown_lines("a\n\tb\x07\n") == "a\n    b\\x07"
