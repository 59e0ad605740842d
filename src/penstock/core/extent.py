"""How large a lane of a worker may be: processes, and slots in each of them."""

from __future__ import annotations

import re

import msgspec

from penstock.errors import ConfigError

LARGEST = 10_000
_SIZE = re.compile(r"(?:(\d{1,9})x)?(\d{1,9})(?:,(\d{1,9}))?", re.ASCII)


class Extent(msgspec.Struct, frozen=True):
    """Processes of so many slots each, and the fewest slots in all that there may be while there is little to do.

    Parameters:
        processes: at most.
        slots: in each, at most; 1 for a pool whose process runs one job.
        least: slots in all; None where the size is fixed.
    """

    processes: int
    slots: int = 1
    least: int | None = None

    @property
    def most(self) -> int:
        """Slots in all, at most."""
        return self.processes * self.slots

    def spread(self, wanted: int) -> tuple[int, int]:
        """Processes, and slots in use in each, that make so many slots; as few processes as will do."""
        processes = max(1, min(self.processes, -(-wanted // self.slots)))
        return processes, max(1, min(self.slots, -(-wanted // processes)))


def parse_extent(text: str, *, one_slot: bool) -> Extent:
    """A size as it is written: MAX or PxN (processes of slots), and ,MIN behind it where it may change.

    Parameters:
        one_slot: each process has one, so that MAX counts processes; else MAX alone counts the slots of one process.

    Raises:
        ConfigError: it is no size.
    """
    match = _SIZE.fullmatch("".join(text.split()))
    if match is None:
        raise ConfigError(
            f"a size is written as 8, as 8,1 (at most, at least) or as 2x500 (processes x slots), not {text!r}"
        )
    processes, count, least = (None if each is None else int(each) for each in match.groups())
    assert count is not None
    if one_slot and processes is not None:
        raise ConfigError(
            f"a process of this pool has one slot: write how many processes, as {processes}, not {text!r}"
        )
    extent = Extent(count, 1, least) if one_slot else Extent(processes or 1, count, least)
    if not 1 <= extent.most <= LARGEST:
        raise ConfigError(f"a size is 1 to {LARGEST:,} slots in all, not {text!r}")
    if least is not None and not 1 <= least <= extent.most:
        raise ConfigError(f"the smaller number of a size comes second, and is at least 1: not {text!r}")
    return extent
