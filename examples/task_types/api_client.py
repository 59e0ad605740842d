"""Calls of an API that allows 20 a second: the limit holds for all processes on all machines together."""

import time
import urllib.request
from typing import ClassVar

from local import Handler, http

from penstock import Penstock
from penstock.work import Workers

app = Penstock()


@app.task(rate_limit="20/s", burst=1, retries=3, timeout=10)
def price(port: int, symbol: str) -> float:
    """What a symbol costs."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{symbol}", timeout=5) as answer:
        return float(answer.read())


class Exchange(Handler):
    """Answers, and counts."""

    asked: ClassVar[list[str]] = []

    def called(self) -> tuple[int, str]:
        """Tell a price."""
        self.asked.append(self.path)
        return 200, f"{len(self.path)}.50"


def demo() -> str:
    """Asks for 40 prices as fast as it may."""
    with http(Exchange) as port:
        began = time.monotonic()
        price.delay_many([(port, f"S{number}") for number in range(40)])
        Workers(f"{__name__}:app", 2, quiet=True).run_until_empty()
        took = time.monotonic() - began
    return f"{len(Exchange.asked)} calls, {len(Exchange.asked) / took:.0f} a second where 20 are allowed"
