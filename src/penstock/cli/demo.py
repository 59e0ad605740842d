"""`penstock demo`: the main job, on simulated market orders, from nothing to a proof in the database."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, suppress

import click
from rich.console import Console

from penstock.cli.load import make_plan, run_load
from penstock.errors import PenstockError
from penstock.load.rejects import rejects_path

ORDERS = 100_000
BROKEN = 50
_SEED = 7
_SYMBOLS = {
    "ACME": 81.4,
    "BOLT": 12.9,
    "CRUX": 240.1,
    "DUNE": 33.3,
    "ECHO": 5.7,
    "FLUX": 118.2,
    "GRIT": 61.0,
    "HALO": 402.5,
}
_TABLE = """
create table orders (
  order_id integer primary key,
  symbol text not null,
  side text not null check (side in ('buy', 'sell')),
  quantity integer not null check (quantity > 0),
  price real not null,
  account text not null,
  placed_at text not null,
  tags text
) strict
"""
_FILES = ("orders.jsonl", "market.db")


def orders(count: int = ORDERS, broken: int = BROKEN, seed: int = _SEED) -> Iterator[str]:
    """The lines of a file of market orders: prices walk at random, and `broken` lines are wrong in one of five ways."""
    chance = random.Random(seed)
    prices = dict(_SYMBOLS)
    symbols = list(prices)
    wrong = set(chance.sample(range(1, count), broken))
    for number in range(count):
        symbol = chance.choice(symbols)
        prices[symbol] *= 1 + chance.gauss(0, 0.0004)
        order: dict[str, object] = {
            "order_id": number + 1,
            "symbol": symbol,
            "side": chance.choice(("buy", "sell")),
            "quantity": chance.choice((1, 5, 10, 50, 100, 250)),
            "price": round(prices[symbol], 2),
            "account": f"A{chance.randrange(2000):04}",
            "placed_at": f"2026-01-05T09:{30 + number // 4000:02}:{number // 67 % 60:02}",
            "tags": {"venue": chance.choice(("lit", "dark")), "algo": chance.random() < 0.3},
        }
        yield _broken(order, number, chance) if number in wrong else json.dumps(order)


def _broken(order: dict[str, object], number: int, chance: random.Random) -> str:
    match number % 5:
        case 0:
            return json.dumps(order)[: chance.randrange(20, 90)]
        case 1:
            return json.dumps({**order, "price": "n/a"})
        case 2:
            return json.dumps({**order, "quantity": -order["quantity"] if isinstance(order["quantity"], int) else 0})
        case 3:
            return json.dumps({**order, "side": "hold"})
        case _:
            return json.dumps({**order, "order_id": 1})


@click.command(short_help="Show the main job: 100,000 orders into a database.")
@click.option("--folder", default=".", show_default=True, help="Where orders.jsonl and market.db are written.")
def demo(folder: str) -> None:
    """Write 100,000 simulated market orders, load them through a file queue with 2 workers, and prove the count.

    \b
    Example:
      penstock demo
      penstock demo --folder /tmp/market
    """
    os.makedirs(folder, exist_ok=True)
    os.chdir(folder)
    out = Console(file=sys.stderr, highlight=False)
    out.print(f"[bold]1.[/] {ORDERS:,} market orders into orders.jsonl, {BROKEN} of them broken")
    _write_files()
    out.print("[bold]2.[/] penstock load orders.jsonl --into sqlite:///market.db --table orders --workers 2")
    plan = make_plan(
        "orders.jsonl",
        to=None,
        table="orders",
        queue=None,
        into="sqlite:///market.db",
        create=False,
        workers=2,
        format=None,
    )
    status = run_load(plan, keep_queue=False, quiet=False, as_json=False)
    if status:
        sys.exit(status)
    out.print("[bold]3.[/] the proof: select count(*), count(distinct order_id) from orders")
    _prove(out)


def _write_files() -> None:
    for name in _FILES:
        for end in ("", "-wal", "-shm", "-lock", ".penstock.db", ".penstock.db-wal", ".penstock.db-shm"):
            with suppress(FileNotFoundError):
                os.unlink(name + end)
    with open("orders.jsonl", "w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in orders())
    with closing(sqlite3.connect("market.db")) as market:
        market.execute(_TABLE)


def _prove(out: Console) -> None:
    with closing(sqlite3.connect("market.db")) as market:
        rows, distinct = market.execute("select count(*), count(distinct order_id) from orders").fetchone()
        value = market.execute("select sum(quantity * price) from orders").fetchone()[0]
    with open(rejects_path("orders.jsonl"), "rb") as file:
        refused = file.read().count(b"\n")
    out.print(f"   {rows:,} rows, {distinct:,} different orders worth {value:,.2f}; {refused} refused, for instance:")
    with open(rejects_path("orders.jsonl"), encoding="utf-8") as file:
        for _, text in zip(range(3), file, strict=False):
            reject = json.loads(text)
            out.print(f"   line {reject['line']}: {reject['reason']}", markup=False, soft_wrap=True)
    if (rows, distinct, refused) != (ORDERS - BROKEN, ORDERS - BROKEN, BROKEN):
        raise PenstockError(f"expected {ORDERS - BROKEN:,} rows and {BROKEN} rejects")
    out.print(f"[bold green]   {rows:,} + {refused} = {ORDERS:,}: every order once, none lost[/]")
