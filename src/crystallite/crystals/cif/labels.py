"""Chemical elements from the type symbols and the labels of sites."""

from __future__ import annotations

import re
from functools import lru_cache

from ..crystal import MAX_ATOMIC_NUMBER
from ..elements import atomic_numbers, number_of
from .blocks import UnreadableError, unquoted

_BEYOND = {
    "Md",
    "No",
    "Lr",
    "Rf",
    "Db",
    "Sg",
    "Bh",
    "Hs",
    "Mt",
    "Ds",
    "Rg",
    "Cn",
    "Nh",
    "Fl",
    "Mc",
    "Lv",
    "Ts",
    "Og",
}
_WATER = re.compile("wat(er)?(?![a-z])", re.IGNORECASE)
_WATER_OR_HYDROGEN = re.compile("H2O|H3O|D2O")
_SEVERAL = re.compile(r"[,/]\s*[A-Z]|\s\+\s")
_GHOSTS = {"VA", "DU", "BQ", "LP"}  # vacancy, dummy, ghost, lone pair
_BEFORE_SITE = "BCFHKNOPSY"  # elements whose symbol may stand before the letter of a site: OW1, KA


@lru_cache(maxsize=8192)
def atomic_number(symbol: str, *, is_label: bool, formula: frozenset[str] = frozenset()) -> int:
    """Return the atomic number of a raw type symbol or label: Fe, FE, Fe3+, Fe1, O_a, Na+1, D, OW1, SiT2.

    Letters name an element only if nothing else of a word follows them: Vac1 is no vanadium. T is tritium as
    a symbol and a tetrahedral site as a label. CA1 is calcium unless the elements of the `formula` have
    carbon and no calcium. Raises UnreadableError.
    """
    text = unquoted(symbol).strip()
    if _SEVERAL.search(text):
        raise UnreadableError(f"partial occupancy: {symbol} means several species on one site")
    if _WATER.match(text) or (_WATER_OR_HYDROGEN.match(text) and not is_label):
        return 8
    if _WATER_OR_HYDROGEN.fullmatch(text):
        raise UnreadableError(f"{text} may be water or a hydrogen atom: add _atom_site_type_symbol")
    names = _candidates(text)
    if formula and not formula.isdisjoint(names):
        names = [name for name in names if name in formula]
    for name in names:
        if name in _BEYOND:
            raise UnreadableError(f"element {name} is beyond the table, which ends at {MAX_ATOMIC_NUMBER}")
        number = number_of(name)
        if number and not (is_label and name == "T"):
            return number
    raise UnreadableError(f"unknown element {symbol}")


def _candidates(text: str) -> list[str]:
    """The elements that the letters a label begins with may mean, the likeliest first."""
    letters = re.match("[A-Za-z]*", text)
    word = letters[0].removesuffix("val") if letters else ""  # Cval: a scattering factor
    if len(word) > 2 and word.isupper():
        return []
    if len(word) == 2 and word.isupper():  # FE, CA1, OW1
        return (
            [] if word in _GHOSTS else [word.title(), word[0]] if word[0] in _BEFORE_SITE else [word.title()]
        )
    proper = re.match("([A-Z][a-z]?)(?![a-z])(.*)", word.title() if len(word) <= 2 else word)
    if proper is None:
        return []
    element, site = proper.groups()  # Fe of FeM1, O of OhA
    if len(element) == 2 and site[:2] in atomic_numbers() and site[1:2].islower():
        raise UnreadableError(f"partial occupancy: {text} means several species on one site")
    return [element, element[0]] if element[0] in "HO" else [element]  # Ow, Hw
