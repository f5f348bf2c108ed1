"""Which elements are similar, and which oxidation states they have; scripts/make_substitution_table.py says
whence.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

NOBLE = frozenset({2, 10, 18, 36, 54, 86})
RADIOACTIVE = frozenset(
    {43, 61, *range(84, 101)}
)  # without a stable isotope; bismuth's decay is too slow to matter


@cache
def nearest(number: int, among: frozenset[int]) -> tuple[tuple[int, int], ...]:
    """Return the distance to each element of `among` and its atomic number, the most similar first.

    The distance is that on the modified Pettifor scale (Glawe, Sanna, Gross and Marques, New J. Phys. 18,
    093011, 2016), an order of the elements in which neighbours replace each other in known crystals; an
    element's own is 0. Of two at one distance the lighter element comes first.
    """
    places = {other: int(row["pettifor_number"]) for other, row in _rows().items()}
    return tuple(sorted((abs(places[number] - places[other]), other) for other in among))


def can_balance(numbers: Sequence[int], counts: Sequence[int]) -> bool:
    """Whether the charges of these elements can add up to zero, all atoms of an element having one state.

    The states are those that are common or found in crystals.
    """
    states = _oxidation_states()
    sums = {0}
    for number, count in zip(numbers, counts, strict=True):
        sums = {charge + count * state for charge in sums for state in states[number]}
    return 0 in sums


@cache
def _oxidation_states() -> dict[int, tuple[int, ...]]:
    return {number: tuple(map(int, row["oxidation_states"].split())) for number, row in _rows().items()}


@cache
def _rows() -> dict[int, dict[str, str]]:
    text = files("crystallite").joinpath("data/substitution.csv").read_text(encoding="utf-8")
    return {int(row["atomic_number"]): row for row in csv.DictReader(text.splitlines())}
