"""Standard output and error where they are closed, full or left by their reader, and what the system says."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress

from ..sources.reading.input_file import shown

# What the system says of standard output; who writes files names them.
_OF_OUTPUT = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EBADF, errno.EIO, errno.EPIPE}


def open_closed_streams() -> None:
    """Put a file in the place of each closed standard stream: the next file opened must not take its number.

    Nothing can be written to it, so that what would be lost is an error.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDONLY)  # takes the lowest number that is free
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115


def reason_of(error: OSError) -> str:
    """Return what to tell of an error of the system, "" if the reader of standard output has left."""
    words = error.strerror or str(error)
    if error.filename is not None:
        return f"cannot use {shown(os.fsdecode(error.filename))}: {words}"
    if error.errno not in _OF_OUTPUT:
        return words
    _forget_output()
    return "" if error.errno == errno.EPIPE else f"cannot write standard output: {words}"


def _forget_output() -> None:
    """Send what is left of standard output to nowhere: the end of Python would try to write it again."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
