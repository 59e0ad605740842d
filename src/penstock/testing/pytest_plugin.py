"""Fixtures for the tests of programs that use Penstock; pytest finds them as soon as Penstock is installed.

`penstock_drain` gives an app a queue of its own for one test, and `penstock_inline` has an app run every job at once.
Both put the app back as it was when the test ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from penstock import Penstock


@pytest.fixture
def penstock_apps() -> Iterator[ExitStack]:
    """The apps that were changed for one test, to be put back in the reverse order."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def penstock_drain(penstock_apps: ExitStack, tmp_path: Path) -> Callable[[Penstock], Callable[..., int]]:
    """Has an app's jobs go to a temporary SQLite file for one test; returns the app's `drain`, which runs them.

        def test_signing_up_sends_a_letter(penstock_drain):
            drain = penstock_drain(app)
            sign_up("ada@example.org")
            assert drain() == 1

    Jobs that wait for their time or for a retry run with `drain(delayed=True)`. Several apps share one queue.
    """

    def with_queue(app: Penstock) -> Callable[..., int]:
        penstock_apps.enter_context(app.elsewhere(f"sqlite:///{tmp_path / 'penstock.db'}"))
        return app.drain

    return with_queue


@pytest.fixture
def penstock_inline(penstock_apps: ExitStack) -> Callable[[Penstock], None]:
    """Has an app run each job at `.delay`, in the caller's thread, for one test; nothing is stored.

    def test_signing_up(penstock_inline):
        penstock_inline(app)
        sign_up("ada@example.org")  # raises JobFailed if the letter can't be sent

    """
    return lambda app: penstock_apps.enter_context(app.elsewhere(inline=True))
