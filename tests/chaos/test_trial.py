"""Trials of stores: short, and of every kind."""

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from harmed import HarmedPostgres
from oracle import FULL, SEED

from penstock.chaos.crew import Crew
from penstock.chaos.notes import Note, Notebook
from penstock.chaos.trial import Standing, Terms, Trial
from penstock.errors import ConfigError

# Everything that is done comes at least once in the short form.
SHORT = (
    {"jobs": 1_000, "seconds": 5.0, "every": 0.5, "seed": SEED}
    if not FULL
    else {"jobs": 50_000, "seconds": 120.0, "seed": SEED}
)


def test_a_notebook_has_what_several_wrote_whole_or_not_at_all(tmp_path: Path) -> None:
    book = Notebook(tmp_path / "notes")
    book.write(7)
    other = "import sys, pathlib; from penstock.chaos.notes import Notebook; Notebook(pathlib.Path(sys.argv[1])).write(8, ended=True)"
    subprocess.run([sys.executable, "-c", other, str(tmp_path / "notes")], check=True)
    with (tmp_path / "notes").open("ab") as file:
        file.write(b"torn")
    first, second = book.read()
    assert (first.number, first.ended, second.number, second.ended) == (7, False, 8, True)
    assert isinstance(first, Note)
    assert first.pid != second.pid
    assert first.at < second.at
    assert book.read() == []
    book.close()


def test_a_file_loses_nothing(tmp_path: Path) -> None:
    standings: list[Standing] = []
    trial = Trial(Terms(f"sqlite:///{tmp_path}/jobs.db", **SHORT), standings.append)
    verdict = trial.run()
    assert verdict.passed, verdict
    assert verdict.sent == SHORT["jobs"]
    assert {toll.kind for toll in verdict.tolls} == {"kill -9 a process", "kill -9 a worker", "freeze a worker"}
    assert standings[-1].done == standings[-1].sent == SHORT["jobs"]


def test_a_server_that_is_restarted_and_cut_off_loses_nothing(harmed_postgres: HarmedPostgres, tmp_path: Path) -> None:
    server = harmed_postgres.server

    def watch(standing: Standing) -> None:
        # The command stops it; this is what starts it again.
        if not server.process.running:
            harmed_postgres.start()

    # Each start gives it another number.
    stop = f"kill -INT $(head -n 1 {server.data}/postmaster.pid)"
    verdict = Trial(Terms(harmed_postgres.place(), cut=True, restart=stop, **SHORT), watch).run()
    assert verdict.passed, verdict
    assert {toll.kind for toll in verdict.tolls} >= {"cut connections", "restart the server"}


def test_a_command_that_fails_ends_it_in_one_line(tmp_path: Path) -> None:
    terms = Terms(f"sqlite:///{tmp_path}/jobs.db", 5_000, 5.0, every=0.1, restart="echo no such unit >&2; exit 5")
    with pytest.raises(ConfigError, match="the command of --restart failed with exit code 5: no such unit"):
        Trial(terms, lambda standing: None).run()


def test_a_worker_that_ended_by_itself_tells_how_and_is_started_anew(tmp_path: Path) -> None:
    with closing(Crew(f"sqlite:///{tmp_path}/jobs.db", 1, 1, tmp_path / "said")) as crew:
        (worker,) = crew._workers
        worker.kill()
        worker.wait()
        assert str(crew.failed()).startswith("exit code -9")
        crew.revive()
        assert crew.failed() is None
