"""Writes the table of docs/explanation/how-promises-are-tested.md from the mutants: `python tests/mutants/page.py`."""

from mutant import ROOT, mutants

PAGE = ROOT / "docs" / "explanation" / "how-promises-are-tested.md"
_HEAD = "| what holds | the faults that would break it |\n| --- | --- |\n"


def page() -> str:
    """The page as it is, with the table as it should be."""
    before, head, after = PAGE.read_text("utf-8").partition(_HEAD)
    assert head
    rest = after.partition("\n\n")[2]
    faults: dict[str, list[str]] = {}
    for some in mutants().values():
        for mutant in some:
            faults.setdefault(mutant.breaks, []).append(f"`{mutant.name}`")
    rows = "".join(f"| {breaks} | {', '.join(names)} |\n" for breaks, names in faults.items())
    return f"{before}{head}{rows}\n{rest}"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
