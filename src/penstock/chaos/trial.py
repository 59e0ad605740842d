"""A trial: jobs are sent at a steady rate while their workers are harmed, and every one of them is accounted for in the end."""

from __future__ import annotations

import random
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import msgspec

from penstock.brokers.inspect import Selection
from penstock.chaos.app import QUEUE, make
from penstock.chaos.crew import Crew
from penstock.chaos.detour import by_way_of, target_of
from penstock.chaos.harms import Harms
from penstock.chaos.notes import Note, Notebook
from penstock.chaos.proxy import Proxy
from penstock.chaos.sender import Sender
from penstock.chaos.verdict import Verdict, judge
from penstock.core.states import State
from penstock.errors import ConfigError, StoreError
from penstock.worker.upkeep import DEAD_AFTER

#: The share of their time for which the workers' processes have jobs.
_BUSY = 0.6
#: Seconds without news after which nothing is to come any more where the store has no job left.
_NOTHING_MORE = 2 * DEAD_AFTER
#: Seconds between two looks.
_LOOK = 0.05


class Terms(msgspec.Struct, frozen=True):
    """What a trial is.

    Parameters:
        url: of the store.
        jobs: how many are sent, over `seconds`.
        workers, processes: how many workers, and processes of each.
        every: seconds between two harms, on average.
        restart: a shell's command that restarts the server, or None.
        cut: the workers reach the store through a proxy, which cuts their connections.
        seed: of all that is random.
        patience: seconds without any news after which jobs that are missing are lost.
    """

    url: str
    jobs: int
    seconds: float
    workers: int = 2
    processes: int = 2
    every: float = 1.0
    restart: str | None = None
    cut: bool = False
    seed: int = 0
    patience: float = 60.0


class Standing(msgspec.Struct, frozen=True):
    """How far a trial is: jobs sent and done, how many harms were done, and the last of them."""

    sent: int
    done: int
    harms: int
    last: str


class Trial:
    """One trial; make a new one for the next.

    Parameters:
        terms: what it is.
        show: called again and again with how far it is.
    """

    def __init__(self, terms: Terms, show: Callable[[Standing], None]) -> None:
        self._terms = terms
        self._show = show
        self._app = make(terms.url)
        self._notes: list[Note] = []
        self._done: set[int] = set()
        self._pause = threading.Event()
        #: Why the last of those jobs did not run that became dead letters; None where none did.
        self.died_of: str | None = None

    def run(self) -> Verdict:
        """Do it; takes somewhat longer than its terms say, and leaves no job in the store.

        Raises:
            ConfigError: workers can't reach the store, or the command does not restart the server.
            StoreError: the store can't be used.
        """
        terms, dice = self._terms, random.Random(self._terms.seed)
        with ExitStack() as stack:
            stack.callback(self._app.close)
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="penstock-chaos-")))
            notebook = stack.enter_context(closing(Notebook(folder / "notes")))
            self._clear()
            stack.callback(self._leave)
            proxy = stack.enter_context(closing(Proxy(target_of(terms.url)))) if terms.cut else None
            url = terms.url if proxy is None else by_way_of(terms.url, proxy.port)
            crew = stack.enter_context(closing(Crew(url, terms.workers, terms.processes, folder / "said")))
            harms = Harms(crew, proxy, terms.restart, dice)
            stack.callback(harms.tend, over=True)
            each = _BUSY * terms.workers * terms.processes * terms.seconds / terms.jobs
            sender = Sender(self._app, folder / "notes", terms.jobs, terms.seconds, each)
            sender.start()
            stack.callback(sender.close)

            def look() -> int:
                """How many notes have come."""
                return self._look(notebook, sender, harms, crew)

            self._harm(harms, sender, dice, look)
            self._settle(sender, look)
            self.died_of = self._last_words()
            return judge(sender.sent, sender.resent, self._notes, harms.done)

    def _harm(self, harms: Harms, sender: Sender, dice: random.Random, look: Callable[[], int]) -> None:
        """Do harm for as long as jobs are sent."""
        while sender.is_alive() and not self._done:
            look()
        sender.ready.set()
        due = time.monotonic()
        while sender.is_alive():
            look()
            if time.monotonic() >= due:
                harms.do()
                due = time.monotonic() + dice.uniform(0.5, 1.5) * self._terms.every

    def _settle(self, sender: Sender, look: Callable[[], int]) -> None:
        """Wait until every job is done and none is left to run once more, or until nothing comes any more."""
        heard = time.monotonic()
        while (silent_for := time.monotonic() - heard) < self._terms.patience:
            if look():
                heard = time.monotonic()
            # Who was frozen may still have something to tell.
            if (sender.sent <= self._done or silent_for > _NOTHING_MORE) and self._live() == 0:
                return

    def _look(self, notebook: Notebook, sender: Sender, harms: Harms, crew: Crew) -> int:
        news = notebook.read()
        self._notes += news
        self._done.update(note.number for note in news if note.ended)
        harms.tend()
        if (said := crew.failed()) is not None:
            if not self._done:
                raise ConfigError(f"a worker gave up: {said}")
            crew.revive()
        if sender.trouble is not None:
            raise sender.trouble
        last = harms.done[-1].kind if harms.done else ""
        self._show(Standing(len(sender.sent), len(self._done), len(harms.done), last))
        self._pause.wait(_LOOK)
        return len(news)

    def _live(self) -> int:
        """How many jobs wait or run; as long as the store is away, there is no telling, and 1 stands for it."""
        try:
            with self._app.inspector() as inspector:
                found = [counts for counts in inspector.count() if counts.queue == QUEUE]
        except StoreError:
            return 1
        return sum(counts.ready + counts.running + counts.delayed + counts.parked for counts in found)

    def _last_words(self) -> str | None:
        with self._app.inspector() as inspector:
            dead = inspector.list(Selection(queue=QUEUE, state=State.DEAD), limit=1)
        return str(dead[0].failure) if dead else None

    def _clear(self) -> None:
        """Delete what is there of this trial, or of one that was killed."""
        with self._app.inspector() as inspector:
            inspector.delete(Selection(queue=QUEUE))

    def _leave(self) -> None:
        # What goes wrong here must not hide what went wrong before.
        with suppress(StoreError):
            self._clear()
