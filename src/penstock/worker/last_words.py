"""In a process: sees to it that what it says before it dies is not lost."""

from __future__ import annotations

import faulthandler
import logging
import os
import sys

from penstock.worker.board import Board
from penstock.worker.lines import LastLinesHandler


def keep_last_words(board: Board, stderr: int) -> None:
    """Called when the process has booted.

    From now on the board keeps what is logged and, should the interpreter crash, where it was. What the boot wrote to
    standard error was kept there as well; it is shown now.

    Parameters:
        stderr: descriptor of the worker's own standard error, where the process's led to the board until now; else -1.
    """
    said = board.take_words()
    if stderr >= 0:
        sys.stderr.flush()
        os.dup2(stderr, 2)
        os.close(stderr)
        sys.stderr.write(said)
        sys.stderr.flush()
    faulthandler.enable(board.descriptor, all_threads=False)
    logging.getLogger().addHandler(LastLinesHandler(board.lines))
