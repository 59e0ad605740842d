"""Which word is WHERE."""

import click
import pytest

from penstock.cli.options import examples, job_ids, only_where, split_where

ID = "0197b3a4-6c1e-7000-8000-000000000000"


@pytest.mark.parametrize(
    ("option", "words", "split"),
    [
        (None, (), (None, ())),
        (None, (ID,), (None, (ID,))),
        (None, ("shop:app", ID), ("shop:app", (ID,))),
        (None, ("sqlite:///x.db", ID, ID), ("sqlite:///x.db", (ID, ID))),
        ("shop:app", (ID,), ("shop:app", (ID,))),
    ],
)
def test_a_first_word_with_a_colon_is_where(option, words, split):
    assert split_where(option, words) == split


@pytest.mark.parametrize(("option", "words"), [("shop:app", ("shop:app",)), ("shop", ()), (None, ("x", "y"))])
def test_places_that_are_none(option, words):
    with pytest.raises(click.UsageError):
        only_where(option, words)


def test_ids():
    assert job_ids((ID,))[0].hex() == ID.replace("-", "")
    with pytest.raises(click.UsageError, match="neither a job's id"):
        job_ids(("xyzzy",))


def test_examples_keep_their_lines():
    assert examples("status", "jobs") == "\b\nExamples:\n  penstock status\n  penstock jobs"
