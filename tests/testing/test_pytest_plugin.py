"""The fixtures for users' own tests, in a pytest run of their own."""

import pytest

pytest_plugins = ["pytester"]

SHOP = """
from penstock import Penstock

app = Penstock("sqlite:////nowhere/at/all.db")

@app.task
def double(number: int) -> int:
    return 2 * number

urgent = double.options(priority=9)
"""


@pytest.fixture
def shop(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(shop=SHOP)
    pytester.syspathinsert()
    return pytester


def passes(shop: pytest.Pytester, count: int) -> None:
    shop.runpytest_subprocess("-W", "error", "-p", "no:cacheprovider").assert_outcomes(passed=count)


def test_drain_runs_what_was_stored_in_a_file_of_its_own(shop: pytest.Pytester) -> None:
    shop.makepyfile("""
        from shop import app, double, urgent

        def test_one(penstock_drain):
            drain = penstock_drain(app)
            jobs = [double.delay(1), urgent.delay(2)]
            assert drain() == 2
            assert [job.result(0) for job in jobs] == [2, 4]

        def test_another_starts_empty(penstock_drain):
            assert penstock_drain(app)() == 0

        def test_waiting_jobs_too(penstock_drain):
            drain = penstock_drain(app)
            job = double.options(delay=3600).delay(4)
            assert drain() == 0
            assert drain(delayed=True) == 1
            assert job.result(0) == 8
    """)
    passes(shop, 3)


def test_inline_runs_at_once_and_stores_nothing(shop: pytest.Pytester) -> None:
    shop.makepyfile("""
        import pytest
        from penstock.errors import JobFailed
        from shop import app, double, urgent

        def test_at_once(penstock_inline):
            penstock_inline(app)
            assert double.delay(4).result(0) == 8
            assert urgent.delay(5).result(0) == 10

        def test_what_fails_raises(penstock_inline):
            penstock_inline(app)
            with pytest.raises(JobFailed, match="number"):
                double.delay("four")
    """)
    passes(shop, 2)


def test_the_app_is_put_back(shop: pytest.Pytester) -> None:
    shop.makepyfile("""
        import pytest
        from penstock.errors import StoreError
        from shop import app, double

        def test_first(penstock_inline, penstock_drain):
            penstock_drain(app)
            penstock_inline(app)
            double.delay(4)

        def test_then():
            assert app.settings.url == "sqlite:////nowhere/at/all.db"
            assert not app.settings.inline
            with pytest.raises(StoreError, match="no folder"):
                double.delay(4)
    """)
    passes(shop, 2)
