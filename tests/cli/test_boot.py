"""The first program of a process whose pool is gevent."""

import subprocess
import sys

from penstock.cli import boot

SHOW = "import sys, threading; print(threading.Lock.__module__, sys.argv[1:], repr(sys.path[0]), 'penstock' in sys.modules)"


def test_it_patches_before_anything_is_imported_and_goes_on_as_python_m_does(tmp_path):
    (tmp_path / "show.py").write_text(SHOW)
    ended = subprocess.run(
        [sys.executable, boot.__file__, "show", "orders"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.stderr == ""
    assert ended.stdout == "gevent.thread ['orders'] '' False\n"


def test_without_gevent_it_says_what_to_install():
    # -S: without the folders that packages are installed in.
    ended = subprocess.run(
        [sys.executable, "-I", "-S", boot.__file__, "show", "orders"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert ended.stderr == "penstock: the pool gevent needs gevent: pip install 'penstock[gevent]'\n"
