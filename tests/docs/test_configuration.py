"""The page of settings says what the table in the code says."""

import configuration

from penstock.cli.worker import worker
from penstock.settings import SETTINGS, TABLE


def test_the_page_has_every_setting() -> None:
    up_to_date = configuration.PAGE.read_text("utf-8") == configuration.page()
    assert up_to_date, "docs/reference/configuration.md is behind: run `python tests/docs/configuration.py`"


def test_every_option_of_the_worker_is_a_setting() -> None:
    assert {f"worker.{param.name}" for param in worker.params if param.name != "app"} == {
        name for name in SETTINGS if name.startswith("worker.")
    }


def test_names_are_unique() -> None:
    assert len({setting.key for setting in TABLE}) == len({setting.variable for setting in TABLE}) == len(TABLE)
