"""What went wrong in a task, as text: its own frames, and none of those that led there."""

from __future__ import annotations

from penstock.core.codec import Signature
from penstock.core.masking import without_passwords
from penstock.core.text import storable

_TRACEBACK_LIMIT = 20_000
_PACKAGE = __file__.rpartition("/core/")[0]
#: The parts of Penstock that a call of the user's code goes through, by their folders and files.
_OWN_CODE = (
    f"{_PACKAGE}/batching/",
    f"{_PACKAGE}/pools/",
    f"{_PACKAGE}/worker/",
    Signature.call.__code__.co_filename,
)


def format_traceback(error: BaseException) -> str:
    """The traceback as text, from the task's own frame on, without the passwords of URLs."""
    import traceback  # with what it loads, a half of a millisecond of every program's start

    inner = error.__traceback__
    while inner is not None and inner.tb_frame.f_code.co_filename.startswith(_OWN_CODE):
        inner = inner.tb_next
    lines = traceback.format_exception(type(error), error, inner or error.__traceback__)
    text = without_passwords(storable("".join(lines)))
    return (
        text
        if len(text) <= _TRACEBACK_LIMIT
        else f"{text[: _TRACEBACK_LIMIT // 2]}\n...\n{text[-_TRACEBACK_LIMIT // 2 :]}"
    )
