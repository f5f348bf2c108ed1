"""Data blocks of a CIF: values by tag, whatever the spelling of the tag."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple, Protocol

from gemmi import cif

_LONGEST = 300  # characters of a reason; what it quotes may be a megabyte
UNKNOWN = {"?", ".", ""}
_NONE: list[str] = []
_SPELLINGS = str.maketrans({".": "_", "-": "_", "[": None, "]": None})
_DECISIVE = re.compile(
    "_(cell_(length|angle|modulation)|symmetry|space_group|magnetic_space_group"
    "|atom_site_(fract|cartn|label|type_symbol|occupancy|calc_flag)|atom_sites_)"
)


class UnreadableError(Exception):
    """Why a file or a block is no crystal, in one line of at most _LONGEST; the reason of a CrystalError."""

    def __init__(self, reason: str) -> None:
        line = " ".join(reason[: 2 * _LONGEST].split())
        shown = "".join(character if character.isprintable() else "?" for character in line)
        super().__init__(shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]} ...")


class Loop(Protocol):
    """Tags, and their values row by row."""

    @property
    def tags(self) -> list[str]: ...

    @property
    def values(self) -> list[str]: ...


class Rows(NamedTuple):
    """A loop as lists."""

    tags: list[str]
    values: list[str]


@lru_cache(maxsize=8192)
def normalized(tag: str) -> str:
    """One spelling of a tag: _space_group.name_H-M_alt and _Space_group_name_H_M_alt_ are the same."""
    return tag.lower().translate(_SPELLINGS).rstrip("_")


class Block:
    """A data block: raw values (quotes and all) by normalised tag."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._single: dict[str, list[str]] = {}
        self._loops: dict[str, tuple[Loop, int]] = {}
        self._faults: dict[str, str] = {}

    def add(self, tag: str, value: str) -> None:
        """Add a value outside a loop; of several for one tag all are kept."""
        self._single.setdefault(normalized(tag), []).append(value)

    def add_loop(self, loop: Loop) -> None:
        """Add a loop; a tag that was looped before keeps its first values."""
        for column, tag in enumerate(loop.tags):
            name = normalized(tag)
            if name in self._loops:
                self.add_fault(tag, f"duplicate tag {tag}")
            else:
                self._loops[name] = loop, column

    def add_fault(self, tag: str, reason: str) -> None:
        """Note what is wrong with a tag; it matters only if the structure hangs on it."""
        self._faults[normalized(tag)] = reason

    def check(self) -> None:
        """Raise UnreadableError if what is wrong with the block leaves its structure open."""
        for tag, reason in self._faults.items():
            if _DECISIVE.match(tag):
                raise UnreadableError(reason)

    @property
    def tags(self) -> Iterable[str]:
        return (*self._single, *self._loops)

    def __contains__(self, tag: str) -> bool:
        return tag in self._single or tag in self._loops

    def isdisjoint(self, tags: Iterable[str]) -> bool:
        """Return whether the block has none of the tags."""
        return self._single.keys().isdisjoint(tags) and self._loops.keys().isdisjoint(tags)

    def value(self, tag: str) -> str:
        """Return the one raw value of a tag, "?" if there is none; two different ones are an error."""
        found = self._single.get(tag, _NONE)
        if len(found) == 1 and found[0] not in UNKNOWN and tag not in self._loops:
            return found[0]
        known = self.values(tag)
        if len(known) > 1 and len(set(known)) > 1:
            raise UnreadableError(f"not a valid CIF: duplicate tag {tag} ({' and '.join(known[:2])})")
        return known[0] if known else "?"

    def values(self, tag: str) -> list[str]:
        """Return the known raw values of a tag, in a loop or alone."""
        found = self._single.get(tag, _NONE)
        if tag in self._loops:
            loop, column = self._loops[tag]
            found = found + loop.values[column :: len(loop.tags)]
        return [value for value in found if value not in UNKNOWN]

    def texts(self, tag: str) -> list[str]:
        """Return the known values of a tag without quotes, in one line each."""
        return texts(self.values(tag))

    def columns(self, tag: str) -> dict[str, list[str]]:
        """Return the raw columns of the loop that has `tag`, by tag; empty if there is none.

        Tags of the same category outside a loop are columns of one row.
        """
        if tag in self._loops:
            loop, _ = self._loops[tag]
            tags, values = loop.tags, loop.values
            return {normalized(name): values[column :: len(tags)] for column, name in enumerate(tags)}
        if tag in self._single:
            category = tag[: tag.index("_", tag.index("_", 1) + 1)]  # _atom_site of _atom_site_fract_x
            return {name: values[:1] for name, values in self._single.items() if name.startswith(category)}
        return {}


def texts(values: Iterable[str]) -> list[str]:
    """Return raw values without their quotes, in one line each."""
    return [" ".join(unquoted(value).split()) for value in values]


def unquoted(value: str) -> str:
    """Return a raw value without its quotes, also one whose closing quote is missing."""
    try:
        return str(cif.as_string(value))
    except UnicodeDecodeError:  # gemmi takes the last byte for the closing quote
        return value.strip("'\"")


def number(text: str, what: str) -> float:
    """The number in a CIF value such as 0.25, '0.25' or 0.2503(4)."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return float(text.strip("'\"").partition("(")[0])
    except ValueError:
        problem = "unknown" if text in UNKNOWN else f"not a number: {text}"
        raise UnreadableError(f"{what} is {problem}") from None
