"""Words of the command line that stand for quantities."""

import click
import pytest

from penstock.cli.values import Bytes, Seconds


def test_sizes_of_memory():
    assert Bytes().convert("1.5G", None, None) == 3 << 29
    with pytest.raises(click.BadParameter, match="as 500M"):
        Bytes().convert("much", None, None)


@pytest.mark.parametrize("word", ["nan", "inf", "-1", "soon"])
def test_times_that_are_none(word):
    with pytest.raises(click.BadParameter):
        Seconds(0).convert(word, None, None)
    assert Seconds(0).convert("1.5", None, None) == 1.5
