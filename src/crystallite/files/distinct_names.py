"""Names that have to differ: of files in one folder, of crystals in one table."""

from __future__ import annotations


class DistinctNames:
    """Gives names out, each only once: one that was there before gets the next free number, NaCl and NaCl-2.

    Args:
        ignore_case: whether names that differ in capitals alone are alike, as some systems have it for files.
    """

    def __init__(self, *, ignore_case: bool = False) -> None:
        self._ignore_case = ignore_case
        self._taken: set[str] = set()
        self._numbers: dict[str, int] = {}

    def of(self, name: str, ending: str = "") -> str:
        """Return the name, with a number before its ending if that name was given out before."""
        free, first = name + ending, self._key(name + ending)
        number = self._numbers.get(first, 1)
        while self._key(free) in self._taken:
            number += 1
            free = f"{name}-{number}{ending}"
        self._numbers[first] = number
        self._taken.add(self._key(free))
        return free

    def _key(self, name: str) -> str:
        return name.casefold() if self._ignore_case else name
