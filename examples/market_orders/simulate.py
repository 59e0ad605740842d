"""A simulated trading day into PostgreSQL and MongoDB, checked order by order and position by position.

    python examples/market_orders/simulate.py                   # on servers that it starts for itself
    python examples/market_orders/simulate.py --postgresql URL --mongodb URL       # or $POSTGRESQL_URL, $MONGODB_URL: on yours

Ends with an error where an order is missing, or there twice, or a position is wrong.
"""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import ExitStack

from penstock.errors import PenstockError
from penstock.processors import MarketOrderProcessor
from penstock.testing.servers import MongoServer, PostgresServer


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--postgresql", default=os.environ.get("POSTGRESQL_URL"), help="$POSTGRESQL_URL without")
    parser.add_argument("--mongodb", default=os.environ.get("MONGODB_URL"), help="$MONGODB_URL without")
    parser.add_argument("--only", choices=["postgresql", "mongodb"], help="one of the databases")
    parser.add_argument("--orders", type=int, default=100_000, help="%(default)s without")
    parser.add_argument("--workers", type=int, default=10, help="processes; %(default)s without")
    parser.add_argument("--seed", type=int, default=7, help="of the day; %(default)s without")
    parser.add_argument("--no-cache", action="store_true", help="look every order up in the database")
    return parser.parse_args()


def main() -> int:
    """Simulate, and say what came of it."""
    given = arguments()
    with ExitStack() as running:
        postgresql, mongodb = given.postgresql, given.mongodb
        if postgresql is None and given.only != "mongodb":
            postgresql = running.enter_context(PostgresServer(durable=True)).url()
        if mongodb is None and given.only != "postgresql":
            mongodb = running.enter_context(MongoServer(durable=True)).url("market_data")
        processor = MarketOrderProcessor(
            mongodb_uri=None if given.only == "postgresql" else mongodb,
            postgresql_uri=None if given.only == "mongodb" else postgresql,
        )
        result = processor.simulate_market_orders(
            num_orders=given.orders, workers=given.workers, use_cache=not given.no_cache, seed=given.seed
        )
    print(result)
    print(result.work)
    return 0 if result.books_match else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("stopped")
    except PenstockError as error:
        sys.exit(str(error))
