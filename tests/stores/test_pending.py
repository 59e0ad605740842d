"""A statement in the making."""

import pytest

from penstock.stores.pending import Pending, Unfit


def test_one_query_goes_with_a_statement_and_no_second() -> None:
    pending = Pending()
    pending.add("select %(a)s", {"a": 1})
    assert (pending.query, pending.parameters) == ("select %(a)s", {"a": 1})
    with pytest.raises(Unfit):
        pending.add("select 2", {})
