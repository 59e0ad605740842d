"""Run the examples, one after the other or those that are named, each with a queue of its own and two worker processes."""

import argparse
import os
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).resolve().parent
NAMES = (
    "periodic_report", "mail", "api_client", "third_party", "model_run", "report_page", "thumbnails", "word_count",
)  # fmt: skip


def main() -> int:
    """Returns an exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all of them without")
    names = parser.parse_args().name or NAMES
    if unknown := set(names) - set(NAMES):
        parser.error(f"there is no example {', '.join(sorted(unknown))}: take some of {', '.join(NAMES)}")
    # The worker processes import the examples as well.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            os.environ |= {"PENSTOCK_URL": f"sqlite:///{folder}/jobs.db", "EXAMPLE_FOLDER": folder}
            began = time.monotonic()
            told = import_module(name).demo()
            print(f"{name}: {told} ({time.monotonic() - began:.1f} s)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
