"""When something is looked for from the beginning, and when from where it was last."""

from __future__ import annotations

#: Seconds for which things are taken to begin where they were, once getting there has become long.
_EVERY = 1.0
#: A sweep may take this part of the time at most.
_SHARE = 0.05


class Sweeps:
    """Looks from the beginning: each one, until it turns out that much lies before what is looked for."""

    def __init__(self) -> None:
        #: From when on, of the monotonic clock, looks are from the beginning again.
        self.next_at = 0.0
        self._began = 0.0
        self._sweeps = True

    def begin(self, now: float, *, may_wait: bool = False) -> bool:
        """A look begins, at a time of the monotonic clock; says whether it is to be from the beginning.

        Parameters:
            may_wait: it need not be, if one that is due has not waited long. Whoever says so asks whether it `waits` when the look has found nothing.
        """
        self._began = now
        self._sweeps = now >= self.next_at + (_EVERY if may_wait else 0.0)
        return self._sweeps

    def waits(self, now: float) -> bool:
        """Is one due, and the last look was not from the beginning?"""
        return not self._sweeps and now >= self.next_at

    def end(self, now: float, *, was_far: bool) -> None:
        """It is over.

        Parameters:
            was_far: much that is dead or held lay before.
        """
        if self._sweeps and was_far:
            self.next_at = now + max(_EVERY, (now - self._began) / _SHARE)
