import subprocess
import sys


def test_verbose_is_for_what_happens_to_jobs_and_not_for_what_drivers_say() -> None:
    program = """
import logging
from penstock.events.log import configure
configure(verbose=True)
print(*[logging.getLogger(name).isEnabledFor(logging.DEBUG) for name in ("penstock", "pymongo.command")])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    assert done.stdout.split() == ["True", "False"]
