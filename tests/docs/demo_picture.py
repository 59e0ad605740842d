"""Draws docs/demo.svg: what `penstock demo` shows on a terminal, as it ran here and now. `python tests/docs/demo_picture.py`."""

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

from rich.console import Console
from rich.text import Text

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "demo.svg"
_WIDTH = 92
# The font that Rich names is fetched from elsewhere; whoever looks has one of these.
_FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def shown() -> str:
    """What is on the terminal in the end."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, _WIDTH, 0, 0))
    said = b""
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, "-m", "penstock", "demo"],
            cwd=folder, env=os.environ | {"TERM": "xterm-256color"}, stdin=theirs, stdout=theirs, stderr=theirs,
        )  # fmt: skip
        os.close(theirs)
        try:
            while more := os.read(ours, 65536):
                said += more
        except OSError:  # how Linux says that the other end is closed
            pass
        assert process.wait() == 0
    # Of a line that was drawn again and again, the last drawing.
    lines = (re.split(r"\r|\x1b\[2K", line)[-1] for line in said.decode().replace("\r\n", "\n").split("\n"))
    return re.sub(r"\x1b\[\?25[lh]", "", "\n".join(lines)).strip("\n")


def draw(text: str) -> str:
    """The same as a picture."""
    console = Console(record=True, width=_WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.from_ansi(f"$ penstock demo\n{text}"))
    svg = _FONT.sub("", console.export_svg(title="penstock demo"))
    return svg.replace("Fira Code, monospace", "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace")


if __name__ == "__main__":
    PICTURE.write_text(draw(shown()), "utf-8")
