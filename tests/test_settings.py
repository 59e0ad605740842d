"""What is told from outside."""

import pytest

from penstock import Penstock, settings
from penstock.errors import ConfigError


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PENSTOCK_URL", raising=False)
    return tmp_path


def test_the_nearest_source_decides(folder, monkeypatch):
    assert Penstock().settings.url == settings.DEFAULT_URL
    (folder / "penstock.toml").write_text('url = "sqlite:///file.db"')
    assert Penstock().settings.url == "sqlite:///file.db"
    monkeypatch.setenv("PENSTOCK_URL", "sqlite:///variable.db")
    assert Penstock().settings.url == "sqlite:///variable.db"
    assert Penstock("sqlite:///given.db").settings.url == "sqlite:///given.db"


def test_pyproject_has_them_among_other_tools(folder):
    (folder / "pyproject.toml").write_text(
        '[tool.other]\nurl = 1\n[tool.penstock]\nurl = "sqlite:///x.db"\n'
        '[tool.penstock.worker]\ngrace = 60\nqueues = ["mail", "two words"]\n'
        '[tool.penstock.worker.lanes]\n"io,mail" = "threads:50"'
    )
    assert settings.read_files() == {
        "url": "sqlite:///x.db",
        "worker.grace": 60,
        "worker.queues": ["mail", "two words"],
        "worker.lanes": {"io,mail": "threads:50"},
    }


@pytest.mark.parametrize("text", ["", "[tool.other]\nx = 1", "broken = [", '[project]\ndependencies = ["penstock"]'])
def test_a_pyproject_without_settings_is_none_of_ours(folder, text):
    (folder / "pyproject.toml").write_text(text)
    assert settings.read_files() == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("urk = 'x'", "no setting 'urk': did you mean 'url'?"),
        ("grace = 3", "no setting 'grace': did you mean 'grace' in worker?"),
        ("[worker]\nconcurency = 3", "penstock.toml, worker: there is no setting 'concurency': did you mean 'concurrency'?"),
        ("[worker]\nurl = 'x'", "did you mean 'url', before the first table?"),
        ("[worker]\nzzz = 3", "; there are autoscale, burst, "),
        ("[worker]\ngrace = 'long'", "grace is a number, not 'long'"),
        ("[worker]\nconcurrency = true", "concurrency is a whole number, not True"),
        ("[worker]\nconcurrency = 1.5", "concurrency is a whole number, not 1.5"),
        ("[worker]\nqueues = [1]", "queues is a list of texts, not [1]"),
        ("[worker]\nmemory = 1.5", 'memory is a size, as "500M" or a number of bytes, not 1.5'),
        ("[worker]\nlanes = 'cpu'", "lanes is a table of texts, not 'cpu'"),
        ("worker = 3", "write a table of settings, not 3"),
        ("url = ", "penstock.toml can't be read: Invalid value (at end of document)"),
    ],
)  # fmt: skip
def test_a_file_that_can_not_be_used_says_why(folder, text, said):
    (folder / "penstock.toml").write_text(text)
    with pytest.raises(ConfigError) as raised:
        settings.read_files()
    assert said in str(raised.value)


def test_bytes_that_are_no_text(folder):
    (folder / "penstock.toml").write_bytes(b"url = '\xff'")
    with pytest.raises(ConfigError, match="can't be read"):
        settings.read_files()


def test_settings_are_kept_in_one_file(folder):
    (folder / "penstock.toml").write_text("")
    (folder / "pyproject.toml").write_text("[tool.penstock]")
    with pytest.raises(ConfigError, match=r"both penstock\.toml and pyproject\.toml"):
        settings.read_files()


def test_an_app_that_names_its_broker_reads_no_file(folder):
    (folder / "penstock.toml").write_text("broken = [")
    Penstock("sqlite:///given.db")
    with pytest.raises(ConfigError):
        Penstock()
