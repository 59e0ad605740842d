"""Calls of a service that is not always there: it says when to come back, or that there is no point in it."""

import urllib.request
from collections import Counter
from typing import ClassVar
from urllib.error import HTTPError, URLError

from local import Handler, http

from penstock import GiveUp, Penstock, Retry, State
from penstock.work import Workers

app = Penstock()


@app.task(retries=8, timeout=10, result_ttl=3600)
def charge(port: int, order: str) -> str:
    """Charges an order, with a key by which the service tells that it was asked before."""
    url = f"http://127.0.0.1:{port}/{order}"
    request = urllib.request.Request(url, method="POST", headers={"Idempotency-Key": order})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.read().decode()
    except HTTPError as error:
        if error.code in (429, 503):
            raise Retry(f"answered {error.code}", in_=float(error.headers.get("Retry-After", 1))) from None
        raise GiveUp(f"answered {error.code}") from None
    except URLError as error:
        raise Retry(str(error.reason)) from None


class Payments(Handler):
    """Busy for the first two calls of each order; order 3 has no card."""

    asked: ClassVar[Counter[str]] = Counter()

    def called(self) -> tuple[int, str]:
        """Take the money, perhaps."""
        self.asked[self.path] += 1
        if self.asked[self.path] <= 2:
            return 503, "busy"
        return (402, "no card") if self.path == "/order3" else (200, "paid")


def demo() -> str:
    """Charges five orders."""
    with http(Payments) as port:
        jobs = charge.delay_many([(port, f"order{number}") for number in range(5)])
        Workers(f"{__name__}:app", 2, quiet=True).run_until_empty()
    paid, dead = (sum(job.state() is state for job in jobs) for state in (State.DONE, State.DEAD))
    return f"{paid} orders paid and {dead} refused, after {sum(Payments.asked.values())} calls"
