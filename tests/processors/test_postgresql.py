"""The processor of PostgreSQL, called as users write it."""

import psycopg

from penstock.processors import PostgreSQLQueueProcessor


def test_a_queue_is_worked_off_by_depth(postgres_url: str) -> None:
    with PostgreSQLQueueProcessor(connection_string=postgres_url) as processor:
        processor.put_many({"id": number, "price": number / 4} for number in range(1, 12_002))
        result = processor.process_queue(adaptive=True, workers=4)
    assert (result.processed, result.failed, result.batch_sizes) == (12_001, 0, {1: 1, 1000: 12})
    with psycopg.connect(postgres_url) as connection:
        found = connection.execute("select count(*), count(distinct id), sum(price) from orders").fetchone()
    assert found == (12_001, 12_001, 12_001 * 12_002 / 8)


def test_the_server_is_the_users_own_where_none_is_named() -> None:
    plan = PostgreSQLQueueProcessor().plan
    assert plan.url == plan.broker == "postgresql://postgres:password@localhost:5432/market_data"
    assert (plan.table, plan.queue) == ("orders", "market_orders")
