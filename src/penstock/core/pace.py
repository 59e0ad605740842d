"""When to look again at what nears its end. Pure."""

from __future__ import annotations

#: Seconds after which another look is always worth it.
_LONGEST = 0.05


class Pace:
    """When counters are worth the next look, where one is asked for at each of many ends: at half of the way to the last, as fast as they came so far.

    Parameters:
        left: how many items have not ended.
        now: in seconds, on a clock that does not step.
    """

    def __init__(self, left: int, now: float) -> None:
        self._first, self._began = left, now
        self._next = now

    def seen(self, left: int, now: float) -> None:
        """There was a look."""
        gone, spent = self._first - left, now - self._began
        rest = spent * left / gone if gone > 0 else spent
        self._next = now + min(_LONGEST, rest / 2)

    def too_early(self, now: float) -> float:
        """Seconds for which the next look is not worth it yet."""
        return max(0.0, self._next - now)
