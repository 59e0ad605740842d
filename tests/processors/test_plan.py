"""What the workers of a processor are told."""

import pytest
from trades import priced

from penstock.core.sizing import ByDepth, Fixed
from penstock.errors import ConfigError
from penstock.processors.plan import Plan, build, located


def test_an_app_is_made_of_what_is_told(tmp_path: object) -> None:
    plan = Plan(broker=f"sqlite:///{tmp_path}/q.db", queue="q", url="sqlite:///m.db", table="t", rows="trades:priced")
    app = build(**plan.arguments)
    task = app.find("sink:t")
    assert (app.settings.url, task.sending.queue, task.function) == (plan.broker, "q", priced)


def test_a_size_is_fixed_or_by_depth() -> None:
    plan = Plan("sqlite:///q.db", "q", "sqlite:///m.db", "t", batch_size=700)
    assert isinstance(plan.sizing, ByDepth)
    assert plan.sizing.next(1_000_000, 0, 0.0).size == 700
    fixed = Plan("sqlite:///q.db", "q", "sqlite:///m.db", "t", batch_size=700, adaptive=False).sizing
    assert isinstance(fixed, Fixed)
    assert fixed.next(1, 0, 0.0).size == 700


def test_a_function_is_found_by_its_name() -> None:
    assert located(priced) == ("trades:priced", "")

    def inner(item: object) -> object:
        return item

    with pytest.raises(ConfigError, match="at the top of a module"):
        located(inner)
