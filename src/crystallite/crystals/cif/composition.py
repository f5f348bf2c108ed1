"""The file's chemical formula, and whether the atoms agree with it."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..elements import number_of, symbols
from .blocks import UNKNOWN, Block

_TOLERANCE = 0.01  # of the ratio of numbers: a formula may be rounded
_PART = re.compile(r"([A-Z][a-z]?)\s*(\d+\.?\d*|\.\d+)?")


class Formula(NamedTuple):
    """Atoms of each element in a formula unit, and the formula units of the cell (0: unknown)."""

    text: str
    counts: dict[int, float]
    units: float

    @property
    def elements(self) -> frozenset[str]:
        return frozenset(symbols()[number] for number in self.counts)


class Difference(NamedTuple):
    """How atoms and formula differ; `factor` times as many are expected (1: other elements or ratios)."""

    text: str
    factor: float


def read_formula(block: Block) -> Formula:
    """Return the formula of a block; one without counts if there is none or it cannot be read."""
    texts = block.texts("_chemical_formula_sum")
    text = texts[0] if len(texts) == 1 else ""
    units = block.values("_cell_formula_units_z")
    return Formula(text, _counts(text), _units(units[0]) if len(units) == 1 else 0.0)


def compare(formula: Formula, numbers: NDArray[np.uint8]) -> Difference | None:
    """Return how the atoms of the cell differ from formula and Z; None if they agree or cannot be compared.

    The formula may be that of the whole cell, Z notwithstanding, as pymatgen writes it.
    """
    if not formula.counts:
        return None
    found = np.bincount(numbers)
    present = np.flatnonzero(found).tolist()
    expected = formula.counts
    ratios = [found[number] / count if number < len(found) else 0.0 for number, count in expected.items()]
    same_elements = set(present) == set(expected)
    ratio = ratios[0]
    alike = same_elements and max(ratios) - min(ratios) <= _TOLERANCE * ratio
    wanted = formula.units or max(1.0, round(ratio))
    if alike and abs(ratio - wanted) <= _TOLERANCE * wanted:
        return None
    if alike and abs(ratio - 1) <= _TOLERANCE and _divisible(expected, formula.units):
        return None
    atoms = " ".join(f"{symbols()[number]}{found[number]}" for number in present)
    units = f", Z = {formula.units:g}" if formula.units else ""
    return Difference(
        f"the atoms are {atoms}, the formula is {formula.text}{units}", wanted / ratio if alike else 1.0
    )


def _divisible(counts: dict[int, float], units: float) -> bool:
    return units > 0 and all(abs(count / units - round(count / units)) < 1e-6 for count in counts.values())


@lru_cache(maxsize=4096)
def _counts(text: str) -> dict[int, float]:
    """Atoms by atomic number; empty unless the whole text is a sum formula of known elements."""
    if not text or re.sub(r"[\s,]", "", _PART.sub("", text)):
        return {}
    counts: dict[int, float] = {}
    for symbol, amount in _PART.findall(text):
        number = number_of(symbol)
        if number is None:
            return {}
        counts[number] = counts.get(number, 0.0) + float(amount or 1)
    return {number: count for number, count in counts.items() if count > 0}


def _units(text: str) -> float:
    try:
        return 0.0 if text in UNKNOWN else max(0.0, float(text.strip("'\"").partition("(")[0]))
    except ValueError:
        return 0.0
