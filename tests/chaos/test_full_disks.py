"""The disk of a server is full: who sends is told so, nothing that was taken is lost, and workers go on when there is room."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from oracle import FULL

SCRIPT = Path(__file__).with_name("on_a_full_disk.py")


@pytest.mark.skipif(not FULL, reason="a server with a disk of its own: PENSTOCK_CHAOS=full")
@pytest.mark.parametrize("kind", ["postgresql", "mongodb", "redis"])
def test_of_a_server(kind: str, tmp_path: Path, own_mounts: list[str]) -> None:
    # The server's own user looks into it.
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & stat.S_IXOTH:
            folder.chmod(0o755)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [*own_mounts, sys.executable, "-W", "error", str(SCRIPT), kind, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=300)
    assert (ended.stdout, ended.returncode) == ("ok\n", 0), ended.stderr
