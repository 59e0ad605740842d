"""The mail: a letter for each order that was filled."""

import os
from pathlib import Path

from penstock import Penstock

app = Penstock()


@app.subscribe("*.filled", group="mail")
def write(event: dict[str, int]) -> None:
    """Write a letter."""
    letter = Path(os.environ["LETTERS"]) / f"{event['number']}.txt"
    letter.write_text(f"Order {event['number']} is on its way: {event['cents'] / 100:.2f}\n")
