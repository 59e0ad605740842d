"""Worker processes that a program runs itself: until the queues are empty, or until it stops them."""

from pathlib import Path

import pytest

from penstock import Penstock
from penstock.errors import ConfigError
from penstock.testing.servers import RabbitServer
from penstock.work import Workers

MODULE = """
from pathlib import Path
from penstock import Penstock

def build(folder):
    app = Penstock(f"sqlite:///{folder}/jobs.db")

    @app.task(name="touch", queue="files", retries=1, backoff=0.05)
    def touch(name):
        path = Path(folder, name)
        if name.startswith("late") and not path.with_suffix(".tried").exists():
            path.with_suffix(".tried").touch()
            raise OSError("not yet")
        path.touch()

    return app
"""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Penstock:
    (tmp_path / "filing.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    import filing

    made: Penstock = filing.build(str(tmp_path))
    return made


def workers(app: Penstock, folder: Path, processes: int = 1) -> Workers:
    return Workers("filing:build", processes, arguments={"folder": str(folder)}, app=app, quiet=True)


def test_they_work_until_the_queue_is_empty_retries_included(app: Penstock, tmp_path: Path) -> None:
    app.find("touch").delay("now.txt")
    app.find("touch").delay("later.txt")
    shown: list[float] = []
    pool = workers(app, tmp_path)
    pool.run_until_empty(lambda: shown.append(pool.figures().figures.count("done")), 0.01)
    assert {path.name for path in tmp_path.glob("*.txt")} == {"now.txt", "later.txt"}
    assert shown[-1] == 2
    assert pool.figures().figures.count("retried") == 1
    assert pool.peak_bytes() > 0
    app.close()


def test_they_work_until_no_message_is_left_in_anybodys_hands(
    rabbit_server: RabbitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FILING", f"{rabbit_server.url()}?namespace=work&backend=sqlite:///{tmp_path}/backend.db")
    (tmp_path / "mailing.py").write_text(
        "import os, time\nfrom pathlib import Path\nfrom penstock import Penstock\n"
        'app = Penstock(os.environ["FILING"])\n\n\n@app.task\ndef touch(path: str) -> None:\n    time.sleep(0.02)\n    Path(path).touch()\n'
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    import mailing

    mailing.touch.delay_many([(f"{number}.txt",) for number in range(60)])
    Workers("mailing:app", 2, app=mailing.app, quiet=True).run_until_empty()
    assert len(list(tmp_path.glob("*.txt"))) == 60
    mailing.app.close()


def test_they_work_until_they_are_stopped(app: Penstock, tmp_path: Path) -> None:
    with workers(app, tmp_path, 2) as pool:
        assert pool.alive
        assert pool.wait(60)
        app.find("touch").delay("now.txt")
        assert pool.wait(60)
        assert (tmp_path / "now.txt").exists()
        with pytest.raises(ConfigError, match="make others"):
            pool.start()
    assert not pool.alive
    app.close()


def test_an_app_that_can_not_be_made_ends_them(app: Penstock, capfd: pytest.CaptureFixture[str]) -> None:
    pool = Workers("nowhere:build", 1, arguments={"folder": "x"}, app=app)
    with pytest.raises(ConfigError, match="could not be started"):
        pool.start()
    assert "no module" in capfd.readouterr().err.lower()


def test_there_is_at_least_one(app: Penstock) -> None:
    with pytest.raises(ConfigError, match="1 or more"):
        Workers("filing:build", 0, app=app)
