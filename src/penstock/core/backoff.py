"""How long a failed job waits before it runs again."""

from __future__ import annotations

import msgspec

from penstock.errors import ConfigError


class Backoff(msgspec.Struct, frozen=True):
    """Exponential backoff with jitter: half of the wait is fixed, half of it random.

    The wait before retry n (from 1) lies between half and all of `min(longest, first * factor ** (n - 1))` seconds.
    This is the "equal jitter" of Marc Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015: the
    fixed half keeps a failing service from being asked again at once, the random half keeps jobs that failed
    together from coming back together.
    """

    first: float = 1.0
    factor: float = 2.0
    longest: float = 3600.0

    def __post_init__(self) -> None:
        if self.first < 0 or self.factor < 1 or self.longest < 0:
            raise ConfigError(f"backoff must have first >= 0, factor >= 1 and longest >= 0, not {self!r}")

    def delay(self, retry: int, chance: float) -> float:
        """Seconds before retry number `retry` (from 1); `chance` is a random number in [0, 1)."""
        try:
            ceiling = min(self.longest, self.first * self.factor ** (retry - 1))
        except OverflowError:
            ceiling = self.longest
        return ceiling * (0.5 + 0.5 * chance)
