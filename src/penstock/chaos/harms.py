"""What is done to the workers of a trial, and to their way to the store."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable

from penstock.chaos.crew import Crew
from penstock.chaos.proxy import Proxy
from penstock.chaos.verdict import Harm
from penstock.errors import ConfigError
from penstock.worker.upkeep import DEAD_AFTER

#: Seconds for which a worker is frozen: others take it for dead by then.
_FROZEN = DEAD_AFTER + 3.0
#: Seconds between two restarts of the server, at least.
_BETWEEN_RESTARTS = 10.0
#: Seconds that a command may take to restart it.
_RESTARTS = 120
#: Seconds in which a process dies with its parent.
_DYING = 0.5
#: Seconds in which a worker hears what became of its jobs and is known to live again, or has found its way back to the store.
_HEARS = DEAD_AFTER
#: The most bytes of an answer that a connection passes on before it is cut.
_ANSWER = 400


class Harms:
    """Does harm, and remembers it.

    Parameters:
        crew: the workers.
        proxy: their way to the store, or None where they go straight.
        restart: a shell's command that restarts the server, or None.
        dice: chooses.
    """

    def __init__(self, crew: Crew, proxy: Proxy | None, restart: str | None, dice: random.Random) -> None:
        self._crew = crew
        self._proxy = proxy
        self._restart = restart
        self._dice = dice
        self._thaw_at: float | None = None
        self._restart_at = 0.0
        #: Of each kind: what does it, and how much more often than others it is done.
        self._kinds: dict[str, tuple[Callable[[float], Harm | None], int]] = {
            "kill -9 a process": (self._kill_process, 6),
            "kill -9 a worker": (self._kill_worker, 2),
            "freeze a worker": (self._freeze, 1),
        }
        if proxy is not None:
            self._kinds["cut connections"] = (self._cut, 4)
        if restart is not None:
            self._kinds["restart the server"] = (self._restart_server, 1)
        # Each kind comes once before any comes twice.
        self._ahead = list(self._kinds)
        dice.shuffle(self._ahead)
        #: What was done, in order.
        self.done: list[Harm] = []

    def do(self) -> None:
        """Do one.

        Raises:
            ConfigError: the command does not restart the server.
        """
        weights = [weight for _, weight in self._kinds.values()]
        kind = self._ahead.pop() if self._ahead else self._dice.choices(list(self._kinds), weights)[0]
        harm = self._kinds[kind][0](time.monotonic())
        if harm is not None:
            self.done.append(harm)

    def tend(self, *, over: bool = False) -> None:
        """Let those go on that were frozen for long enough, or all when it is over."""
        if self._thaw_at is not None and (over or time.monotonic() >= self._thaw_at):
            self._crew.thaw()
            self._thaw_at = None

    def _kill_process(self, now: float) -> Harm | None:
        victims = self._crew.kill_process(self._dice)
        return Harm("kill -9 a process", now, time.monotonic() + _DYING, frozenset(victims)) if victims else None

    def _kill_worker(self, now: float) -> Harm:
        victims = self._crew.kill_worker(self._dice)
        return Harm("kill -9 a worker", now, time.monotonic() + _DYING, frozenset(victims))

    def _freeze(self, now: float) -> Harm | None:
        if self._thaw_at is not None:
            return None
        victims = self._crew.freeze(self._dice)
        # What they write from now on they write when they go on.
        frozen = time.monotonic()
        self._thaw_at = now + _FROZEN
        return Harm("freeze a worker", frozen, self._thaw_at + _HEARS, frozenset(victims), freezes=True)

    def _cut(self, now: float) -> Harm:
        assert self._proxy is not None
        # Between two exchanges, in the middle of an answer, or when the server has done it and nobody hears of it.
        match self._dice.randrange(3):
            case 0:
                self._proxy.cut()
            case 1:
                self._proxy.cut_in_answer(self._dice.randrange(1, _ANSWER))
            case _:
                self._proxy.cut_before_answer()
        # A connection that is to be cut in its next answer is cut when that comes.
        return Harm("cut connections", now, time.monotonic() + _DYING)

    def _restart_server(self, now: float) -> Harm | None:
        if now < self._restart_at:
            return None
        assert self._restart is not None
        command = ["/bin/sh", "-c", self._restart]
        try:
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=_RESTARTS)
        except subprocess.TimeoutExpired:
            raise ConfigError(f"the command of --restart did not end within {_RESTARTS} s") from None
        except subprocess.CalledProcessError as error:
            said = error.stderr.decode(errors="replace").strip().splitlines()
            raise ConfigError(
                f"the command of --restart failed with exit code {error.returncode}{': ' if said else ''}{said[-1] if said else ''}"
            ) from None
        over = time.monotonic()
        self._restart_at = over + _BETWEEN_RESTARTS
        return Harm("restart the server", now, over + _HEARS)
