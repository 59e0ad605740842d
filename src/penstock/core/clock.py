"""Whether a clock that is not ours can be trusted to judge who is alive."""

from __future__ import annotations


class Steady:
    """Watches a server's clock beside one that nobody can set.

    Heartbeats carry the server's time. When that clock is set forward, every worker looks silent until its next beat;
    when it is set back, a dead one looks alive. So for a while after a step nobody is judged.

    Parameters:
        tolerance: seconds by which the two clocks may part between two looks; more is a step.
        settle: seconds to wait after a step, long enough for every live worker to beat by the new time.
    """

    def __init__(self, *, tolerance: float = 2.0, settle: float = 10.0) -> None:
        self._tolerance = tolerance
        self._settle = settle
        self._gap: float | None = None
        self._stepped_at: float | None = None

    def observe(self, theirs: float, ours: float) -> bool:
        """Take a look at both clocks, in seconds; True while theirs has not stepped lately.

        Parameters:
            theirs: the server's time.
            ours: this machine's monotonic time, before the server was asked. So an answer that is late looks like a step: others may have waited for theirs, too.
        """
        gap = theirs - ours
        if self._gap is not None and abs(gap - self._gap) > self._tolerance:
            self._stepped_at = ours
        # The gap follows slow drift, which no one look notices.
        self._gap = gap
        if self._stepped_at is not None and ours - self._stepped_at >= self._settle:
            self._stepped_at = None
        return self._stepped_at is None
