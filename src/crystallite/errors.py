"""Errors meant for people: each message says what is wrong, where, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

LONGEST_REASON = 300  # characters
LISTED = 10  # names in a message


class CrystalliteError(Exception):
    """A problem the user can act on; the command line prints it without a traceback."""


class DivergedError(CrystalliteError):
    """A training run has arrived at numbers that are not finite: nothing of it can be kept."""


class StorageError(CrystalliteError):
    """A disk, a network or a server failed: it says nothing about a file, and may not come again."""


class WriteError(CrystalliteError):
    """A file cannot be written: the disk is full or read-only, or a permission is missing."""


class CrystalError(CrystalliteError):
    """One crystal cannot be used.

    Attributes:
        source: names the file, row or id.
        reason: says why in one sentence.
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


def shortened(names: Sequence[str]) -> str:
    """Return the first few names, and how many more there are."""
    more = f" and {len(names) - LISTED:,} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def listing(lines: Sequence[str]) -> str:
    """Return the first few lines, indented, and how many more there are."""
    more = [f"and {len(lines) - LISTED:,} more"] if len(lines) > LISTED else []
    return "\n".join(f"  {line}" for line in [*lines[:LISTED], *more])


def printable(text: str) -> str:
    """Return text from a file as a terminal may show it: control characters become question marks."""
    return "".join(one if one.isprintable() else "?" for one in text)


def suggestion(name: str, known: list[str]) -> str:
    """Return what to add to a message about an unknown name: close names, and all."""
    listed = f"there are: {', '.join(known)}" if known else "there are none"
    return f"{close_names(name, known)}; {listed}"


def close_names(name: str, known: Sequence[str]) -> str:
    """Return what to add to a message about an unknown name among too many to list: close names, if any."""
    close = get_close_matches(name, known, n=3, cutoff=0.5)
    return f" (did you mean {' or '.join(close)}?)" if close else ""
