"""Space groups by what files call them: Hermann-Mauguin, Hall and Schoenflies symbols, numbers, settings."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import Any, NamedTuple

import gemmi

from .blocks import UnreadableError
from .operations import Group, tabulated_group

# Point group of Schoenflies -> how many space groups it has, in the order of the International Tables.
_SCHOENFLIES = re.findall(
    r"(\S+) (\d+)",
    "C1 1 Ci 1 C2 3 Cs 4 C2h 6 D2 9 C2v 22 D2h 28 C4 6 S4 2 C4h 6 D4 10 C4v 12 D2d 12 D4h 20 C3 4 C3i 2 D3 7 "
    "C3v 6 D3d 6 C6 6 C3h 1 C6h 2 D6 6 C6v 4 D3h 4 D6h 4 T 5 Th 7 O 8 Td 6 Oh 10",
)
_ORIGIN_OF_ICSD = {"S": "1", "Z": "2"}  # Fd-3mS, Fd-3mZ
_ORIGIN_IN_WORDS = re.compile(r"[(,;]?\s*origin\s*(?:choice|no\.?)?\s*([12])\s*\)?$", re.IGNORECASE)
_NUMBER_IN_WORDS = re.compile(r"[(,;]?\s*(?:no\.?\s*|#\s*|\()(\d{2,3})\s*\)?$", re.IGNORECASE)


class Said(NamedTuple):
    """What a file says about its group, each as a tuple of texts: all that is known, in the file's order."""

    halls: tuple[str, ...]
    names: tuple[str, ...]
    numbers: tuple[str, ...]
    schoenflies: tuple[str, ...]
    codes: tuple[str, ...]

    def __str__(self) -> str:
        return ", ".join(
            [
                *map(repr, dict.fromkeys(self.names + self.halls + self.schoenflies)),
                *(f"number {number}" for number in self.numbers),
                *(f"setting {code}" for code in self.codes),
            ]
        )


class Setting(NamedTuple):
    """A space group on certain axes; `symbol` tells both."""

    symbol: str
    number: int | None
    group: Group


@lru_cache(maxsize=1024)
def settings(said: Said) -> tuple[Setting, ...]:
    """Return the settings of a space group that agree with all a file says, the likeliest first.

    More than one are left where the cell must tell: origin choice 1 and hexagonal axes come first. None is
    left if nothing the file says is known. Raises UnreadableError if one thing contradicts another.
    """
    hall = next(filter(None, map(_of_hall, said.halls)), None)
    numbers = [*map(_number, said.numbers), *filter(None, map(_of_schoenflies, said.schoenflies))]
    named: tuple[Any, ...] = ()
    for other in filter(None, map(_of_name, said.names)):
        named = tuple(group for group in named if group in other) if named else other
        if not named:
            raise UnreadableError(f"the space group is ambiguous: {said} contradict each other")
    if hall is None and not named and numbers:
        named = _of_number(numbers[0])
    known = {group.number for group in named} | set(numbers)
    if hall is not None and hall.number is not None:
        known.add(hall.number)
    if len(known) > 1:
        raise UnreadableError(f"the space group is ambiguous: {said} are different groups")
    if hall is not None:
        return (hall,)
    for code in said.codes:
        named = _with_code(named, code.lower(), said)
    return tuple(_setting(group) for group in named)


def _of_hall(symbol: str) -> Setting | None:
    try:
        operations = gemmi.symops_from_hall(symbol)
    except (RuntimeError, ValueError):
        return None
    found = gemmi.find_spacegroup_by_ops(operations)
    return Setting(symbol, None if found is None else found.number, tabulated_group(operations))


def _of_name(name: str) -> tuple[Any, ...]:
    """The settings in gemmi's table that a Hermann-Mauguin symbol may mean."""
    name = _NUMBER_IN_WORDS.sub("", name.strip("'\" "))
    origin = _ORIGIN_IN_WORDS.search(name)
    if origin:
        name = f"{name[: origin.start()].strip()}:{origin[1]}"
    elif name[-1:] in _ORIGIN_OF_ICSD:
        name = f"{name[:-1].strip()}:{_ORIGIN_OF_ICSD[name[-1]]}"
    elif axes := re.fullmatch(r"(R.*?[a-z0-9])\s*([HR])", name):
        name = f"{axes[1]}:{axes[2]}"
    name = re.sub(r"\((-?\d)\)", r"\1", name)  # 2(1)
    spaced, closed = name.replace("_", " "), re.sub(r"(?<=\d)_(?=\d)", "", name).replace("_", " ")
    for spelling in (spaced, closed, _short(closed)):
        symbol, _, extension = spelling.partition(":")
        found = gemmi.find_spacegroup_by_name(spelling.replace(" :", ":"))
        if found is not None and extension.strip():
            return (found,)
        others = _short_monoclinic().get(_squeezed(symbol), ())
        if found is not None:
            same = [group for group in _of_table(found.number) if group.hm == found.hm] or [found]
            return tuple(same) + tuple(group for group in others if group not in same)
        if others:
            return others
    return ()


def _of_number(number: int) -> tuple[Any, ...]:
    """The standard setting of a number, with both origins or axes, and unique axis c if there is one such."""
    standard = gemmi.find_spacegroup_by_number(number)
    table = _of_table(number)
    return tuple(group for group in table if group.hm == standard.hm or group.qualifier == "c")


def _of_schoenflies(symbol: str) -> int | None:
    """The number of a group such as Oh^5, O_h^5 or D2h16."""
    found = re.fullmatch(r"([CSDTO])_?(\d?[a-z]?)\^?(\d+)", re.sub(r"[\s{}]", "", symbol))
    wanted = f"{found[1]}{found[2]}".replace("S6", "C3i") if found else ""
    first = 0
    for name, count in _SCHOENFLIES:
        if found and name == wanted and 1 <= int(found[3]) <= int(count):
            return first + int(found[3])
        first += int(count)
    return None


def _number(text: str) -> int:
    found = re.fullmatch(r"0*(\d{1,3})(?:\.0*)?", text)
    if found is None or not 1 <= int(found[1]) <= 230:
        raise UnreadableError(f"there is no space group number {text}")
    return int(found[1])


def _with_code(named: tuple[Any, ...], code: str, said: Said) -> tuple[Any, ...]:
    """Those of the settings, or else of all settings of the group, that a coordinate system code means."""
    if not named:
        return named
    table = _of_table(named[0].number)
    fitting = [group for group in table if code in _codes(group)]
    chosen = [group for group in fitting if group in named]
    if chosen:
        return tuple(chosen)
    origins = {group.hm for group in named} & {group.hm for group in fitting}
    if origins or (not fitting and (len(table) > 1 and code not in ("1", "h", "abc"))):
        raise UnreadableError(f"the space group is ambiguous: {said} contradict each other")
    return tuple(fitting) or named


def _codes(group: Any) -> set[str]:
    """The coordinate system codes that mean a setting, such as 2, h, b1, -c2, abc or 2cab."""
    extension = group.ext.strip("\0 ").lower()
    axes = group.qualifier
    if axes in ("a", "b", "c"):
        return {axes, *(f"{axes}{choice}" for choice in "123")}
    if axes:
        return {f"{extension}{axes}", axes}
    return {extension, f"{extension}abc", "abc"} - {""}


@cache
def _of_table(number: int) -> tuple[Any, ...]:
    return tuple(group for group in gemmi.spacegroup_table() if group.number == number)


@cache
def _short_monoclinic() -> dict[str, tuple[Any, ...]]:
    """Settings of unique axis b and c by their symbol without the ones: P 21/b, C2/m."""
    found: dict[str, tuple[Any, ...]] = {}
    for group in gemmi.spacegroup_table():
        if group.qualifier.lstrip("-")[:1] in ("b", "c") and 3 <= group.number <= 15:
            short = _squeezed(" ".join(part for part in group.hm.split() if part != "1"))
            found[short] = (*found.get(short, ()), group)
    return found


def _short(name: str) -> str:
    """The short of a full symbol: F m -3 m of F 4/m -3 2/m, P n m a of P 21/n 21/m 21/a."""
    symbol, colon, extension = name.partition(":")
    lattice, rest = symbol.strip()[:1], symbol.strip()[1:]
    parts = re.findall(r"[2346][1-5]?/[a-emn]|-[1-6]|[1-6][1-5]?|[a-emn]", rest.lower())
    if len(parts) < 2 or ("1" in parts and "-3" not in parts):
        return name  # monoclinic
    is_cubic = "-3" in parts[1:]
    shortened = [part[-1] if "/" in part and (part[0] == "2" or is_cubic) else part for part in parts]
    return f"{lattice} {' '.join(shortened)}{colon}{extension}"


def _squeezed(symbol: str) -> str:
    return symbol.replace(" ", "").lower()


@lru_cache(maxsize=1024)
def _table_group(symbol: str) -> Group:
    return tabulated_group(gemmi.SpaceGroup(symbol).operations())


def _setting(group: Any) -> Setting:
    return Setting(group.xhm(), group.number, _table_group(group.xhm()))
