"""The processor of any database: what is put is written once, in batches as large as the queue is deep."""

import sqlite3
from pathlib import Path

import pytest
import trades

from penstock.errors import ConfigError, StoreUnavailable
from penstock.processors import AdaptiveBatchProcessor, QueueResult


@pytest.fixture
def processor(tmp_path: Path) -> AdaptiveBatchProcessor:
    return AdaptiveBatchProcessor(f"sqlite:///{tmp_path}/market.db", conflict_key=["id"])


def ids(folder: Path, table: str = "orders") -> list[int]:
    with sqlite3.connect(folder / "market.db") as connection:
        return [id for (id,) in connection.execute(f"select id from {table} order by id")]


def test_the_size_follows_the_users_table(processor: AdaptiveBatchProcessor) -> None:
    depths = 0, 99, 100, 999, 1000, 10_000, 10_001, 1_000_000
    assert [processor.batch_size(depth) for depth in depths] == [1, 1, 100, 100, 500, 500, 1000, 1000]


def test_what_is_put_is_written_once(processor: AdaptiveBatchProcessor, tmp_path: Path) -> None:
    with processor:
        processor.put(trades.orders(1)[0])
        assert processor.put_many(trades.orders(50, 2)) == 50  # one by one
        assert processor.put_many(iter(trades.orders(250, 52))) == 250  # three rows
        assert processor.depth == 54
        result = processor.process_queue(workers=2)
        assert processor.depth == 0
    assert ids(tmp_path) == list(range(1, 302))
    assert (result.processed, result.failed, result.remaining, result.workers) == (301, 0, 0, 2)
    assert result.batch_sizes[100] == 2  # the rows of 100; that of 50 is in another bucket
    assert result.seconds > 0
    assert result.ops_per_second > 0
    assert result.error_rate == 0
    assert result.cache_hit_rate is None
    assert "301 processed, 0 failed" in str(result)


def test_an_empty_queue_is_done_at_once(processor: AdaptiveBatchProcessor) -> None:
    with processor:
        assert processor.process_queue(workers=1).processed == 0


def test_what_the_database_refuses_has_failed(processor: AdaptiveBatchProcessor, tmp_path: Path) -> None:
    with processor:
        processor.put_many(trades.orders(120))
        processor.put_many(trades.orders(2, 119))  # 119 and 120 are there
        result = processor.process_queue(batch_size=1000, workers=1)
    assert (result.processed, result.failed) == (120, 2)
    assert result.error_rate == 2 / 122
    assert ids(tmp_path) == list(range(1, 121))


def test_rows_are_made_in_the_workers(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import trades
from penstock.processors import AdaptiveBatchProcessor

def priced(order):
    return trades.priced(order)

if __name__ == "__main__":
    with AdaptiveBatchProcessor("sqlite:///market.db", "priced", rows=priced) as processor:
        processor.put_many(trades.orders(140))
        print(processor.process_queue(workers=1).processed)
""")
    import subprocess
    import sys

    ended = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (ended.stdout, ended.stderr) == ("140\n", "")
    assert len(ids(tmp_path, "priced")) == 120


def test_rows_that_workers_can_not_import_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give it one, with def"):
        AdaptiveBatchProcessor("sqlite:///market.db", rows=lambda order: order)


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"workers": 0}])
def test_numbers_below_1_are_refused(processor: AdaptiveBatchProcessor, options: dict[str, int]) -> None:
    with processor, pytest.raises(ConfigError, match="1 or more"):
        processor.process_queue(**options)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada:secret@127.0.0.1:1/market",
        "mongodb://ada:secret@127.0.0.1:1/market?serverSelectionTimeoutMS=100",
    ],
)
def test_a_server_that_is_not_there_is_told_in_one_line(url: str) -> None:
    processor = AdaptiveBatchProcessor(url, queue="sqlite:///queue.db")
    with processor, pytest.raises(StoreUnavailable, match="start it") as raised:
        processor.process_queue()
    assert "\n" not in str(raised.value)
    assert "secret" not in str(raised.value)


def test_a_result_is_told_in_a_few_lines() -> None:
    result = QueueResult(2000, 0, 1, 0, 0.5, {1000: 2}, 1000.0, 0.01, 0.8, 0, 4, 1 << 20)
    assert str(result).splitlines()[1:] == [
        "0.50 s, 4,000 ops/s, 4 workers", "batches of up to 1,000 (2 x)", "10.0 ms for a batch, memory 1.0 MiB",
        "cache hit rate 80.0%",
    ]  # fmt: skip
