"""Errors meant for people: each message says what is wrong, where, and what to do."""

from __future__ import annotations

LONGEST_REASON = 300  # characters


class CrystalliteError(Exception):
    """A problem the user can act on; the command line prints it without a traceback."""


class DivergedError(CrystalliteError):
    """A training has arrived at numbers that are not finite: nothing of it can be kept."""


class WriteError(CrystalliteError):
    """A file cannot be written: the disk is full or read-only, or a permission is missing."""


class LostProcessError(CrystalliteError):
    """Another process of the same training ended while this one waited for it."""


class CrystalError(CrystalliteError):
    """One crystal cannot be used.

    `source` names the file, row or id; `reason` says why in one sentence.
    """

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(f"{source}: {reason}")
        self.source = source
        self.reason = reason

    def __reduce__(self) -> tuple[type[CrystalError], tuple[str, str]]:
        return type(self), (self.source, self.reason)  # survives the way back from a worker process


def one_line(error: Exception) -> str:
    """Return what an error says on one line, and its kind where it says nothing."""
    words = " ".join(str(error).split()) if str(error) else type(error).__name__
    return words if len(words) <= LONGEST_REASON else f"{words[:LONGEST_REASON]} ..."


def first_line(error: Exception) -> str:
    """Return the first line of what an error says, and its kind where it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]
