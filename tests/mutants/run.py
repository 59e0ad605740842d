"""Do the tests bite? Puts one deliberate fault after another into a copy of the product, and runs the tests that must notice it.

    python tests/mutants/run.py                  all of them, two at a time
    python tests/mutants/run.py sqlite sinks     those of some areas, or some by name
    python tests/mutants/run.py --list --json

Ends with 1 when a mutant survives, or can't be judged.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import msgspec
from mutant import PACKAGE, ROOT, DoesNotApply, Mutant, mutants

#: Seconds after which a mutant's tests are ended: one that makes them hang has been noticed as well.
PATIENCE = 240.0
_TO_END = 30.0
_FAILED = re.compile(r"^FAILED (tests/\S+?\.py::\S.*?)(?: - .*)?$", re.MULTILINE)
_ALL_PASS, _SOME_FAIL = 0, 1


class Verdict(msgspec.Struct, frozen=True):
    """What became of a mutant: killed, survived or broken, which is neither: its tests could not be run."""

    name: str
    area: str
    breaks: str
    verdict: str
    seconds: float
    detail: str = ""


def pytest(package: Path | None, tests: Sequence[str], *, workers: int = 0) -> tuple[int | None, str]:
    """Run tests on a copy of the product, or on the product itself; returns pytest's exit code, or None when it hung, and what it wrote."""
    # The plain text of every failure's id on a line of its own, whatever the terminal is like.
    command = [sys.executable, "-m", "pytest", "-q", "-rfE", "--tb=line", "-p", "no:cacheprovider", "--color=no"]
    command += ["-n", str(workers), "--dist", "worksteal"] if workers else ["-p", "no:xdist"]
    path = [str((package or PACKAGE).parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path)), "COLUMNS": "1000"}
    process = subprocess.Popen(
        [*command, *tests], cwd=ROOT, env=environment, text=True, errors="replace", stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    try:
        said, _ = process.communicate(timeout=PATIENCE if package else None)
    except BaseException as error:
        # Asked to end it ends its servers; the processes that its tests started are in its session.
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_TO_END)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            return None, ""
        raise
    return process.returncode, said


def judge(area: str, mutant: Mutant) -> Verdict:
    """Run the tests of one mutant."""
    began = time.monotonic()

    def verdict(what: str, detail: str = "") -> Verdict:
        return Verdict(mutant.name, area, mutant.breaks, what, round(time.monotonic() - began, 1), detail)

    with tempfile.TemporaryDirectory(prefix="penstock-mutant-") as folder:
        package = Path(folder) / PACKAGE.name
        try:
            text = mutant.mutated()
        except DoesNotApply as error:
            return verdict("broken", str(error))
        shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
        (package / mutant.file).write_text(text, "utf-8")
        code, said = pytest(package, mutant.tests)
    if code is None:
        return verdict("killed", "its tests hung")
    if code not in {_ALL_PASS, _SOME_FAIL}:
        return verdict("broken", f"pytest ended with {code}: {said.strip()[-500:]}")
    failed = set(_FAILED.findall(said))
    survived = [test for test in mutant.tests if not mutant.has_failed(test, failed)]
    if not survived:
        return verdict("killed")
    # A test whose fixture could not be set up says nothing about the fault.
    what = "broken" if "\nERROR " in said else "survived"
    return verdict(what, f"{', '.join(survived)}: no failure" if what == "survived" else said.strip()[-500:])


def chosen(names: Iterable[str]) -> list[tuple[str, Mutant]]:
    """The mutants of these areas and names; all of them where none are named."""
    everything = [(area, mutant) for area, some in mutants().items() for mutant in some]
    wanted = set(names)
    unknown = wanted - {name for area, mutant in everything for name in (area, mutant.name)}
    if unknown:
        raise SystemExit(f"no mutant and no area is called {', '.join(sorted(unknown))}: --list shows them")
    return [(area, mutant) for area, mutant in everything if not wanted or wanted & {area, mutant.name}]


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="areas or mutants; all without")
    parser.add_argument("--list", action="store_true", help="show them, and run nothing")
    parser.add_argument("--json", action="store_true", help="a JSON object per mutant, and nothing else")
    parser.add_argument("--together", type=int, default=2, metavar="N", help="mutants that are run at a time (2)")
    parser.add_argument("--no-control", action="store_true", help="do not run the tests on the product as it is first")
    given = parser.parse_args()
    those = chosen(given.names)
    if given.list:
        for area, mutant in those:
            print(
                json.dumps({"area": area, **msgspec.to_builtins(mutant)})
                if given.json
                else f"{area:<12} {mutant.name:<44} {mutant.breaks}"
            )
        return 0
    began = time.monotonic()
    if not given.no_control:
        # A test that fails without any fault would kill every mutant.
        tests = list(dict.fromkeys(test for _, mutant in those for test in mutant.tests))
        code, said = pytest(None, tests, workers=given.together)
        if code != _ALL_PASS:
            print(f"{said}\nThese fail without a mutant: mend them first.", file=sys.stderr)
            return 1
        if not given.json:
            print(f"control: {len(tests)} tests pass without a mutant ({time.monotonic() - began:.0f} s)", flush=True)
    with ThreadPoolExecutor(given.together) as threads:
        verdicts = []
        for found in threads.map(lambda pair: judge(*pair), those):
            verdicts.append(found)
            how = f" ({found.detail})" if found.verdict == "killed" and found.detail else ""
            line = f"{found.verdict:<9} {found.seconds:6.1f} s  {found.area:<12} {found.name}{how}"
            print(msgspec.json.encode(found).decode() if given.json else line, flush=True)
            if found.verdict != "killed" and not given.json:
                print(f"          it breaks: {found.breaks}\n          {found.detail}", flush=True)
    killed = sum(found.verdict == "killed" for found in verdicts)
    if not given.json:
        print(f"{killed} of {len(verdicts)} mutants killed, in {time.monotonic() - began:.0f} s")
    return int(killed < len(verdicts))


if __name__ == "__main__":
    raise SystemExit(main())
