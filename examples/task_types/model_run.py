"""A model that is trained for long: it says how far it is, and goes on where it was after a deploy."""

import math
import random
import time

from penstock import Penstock, State, current_job
from penstock.work import Workers

app = Penstock()
EPOCHS = 60


@app.task(retries=3, result_ttl=3600)
def train(seed: int) -> dict[str, float]:
    """Logistic regression by gradient descent; the weights are kept after each epoch."""
    job, points = current_job(), sample(seed)
    epoch, begun, weights = job.checkpoint() or (0, 0, [0.0, 0.0, 0.0])
    begun += 1
    while epoch < EPOCHS:
        for x, y, label in points:
            error = label - chance(weights, x, y)
            weights = [w + 0.05 * error * value for w, value in zip(weights, (1, x, y), strict=True)]
        epoch += 1
        job.checkpoint([epoch, begun, weights])
        job.progress(epoch, EPOCHS, f"epoch {epoch}")
    right = sum((chance(weights, x, y) > 0.5) == label for x, y, label in points)
    return {"accuracy": right / len(points), "begun": begun}


def sample(seed: int) -> list[tuple[float, float, bool]]:
    """Points on both sides of a line."""
    dice = random.Random(seed)
    points = [(dice.gauss(0, 1), dice.gauss(0, 1)) for _ in range(8000)]
    return [(x, y, 2 * x - y + 0.3 > 0) for x, y in points]


def chance(weights: list[float], x: float, y: float) -> float:
    """That a point is above the line."""
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, weights[0] + weights[1] * x + weights[2] * y))))


def demo() -> str:
    """Stops the workers in the middle of a training, and starts others."""
    job = train.delay(7)
    with Workers(f"{__name__}:app", 1, grace=0, quiet=True):
        while job.progress() is None and job.state() is not State.DONE:
            time.sleep(0.05)
    with Workers(f"{__name__}:app", 1, quiet=True):
        trained = job.result(timeout=60)
    return f"{trained['accuracy']:.0%} of the points are told apart; begun {trained['begun']:.0f} times, {EPOCHS} epochs in all"
