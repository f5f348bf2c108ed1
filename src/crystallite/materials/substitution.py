"""Candidate crystals: a known one with its elements replaced by similar ones, and strained.

All atoms of an element are replaced at once, so a candidate has its parent's structure type. The cell is
scaled so that the edges are to the parent's as the sums of the atoms' covalent radii.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import islice
from math import gcd
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..crystals.crystal import MAX_ATOMIC_NUMBER, Crystal, check_crystal
from ..crystals.element_properties import element_property
from ..crystals.elements import symbols
from ..errors import CrystalError
from .similarity import NOBLE, RADIOACTIVE, can_balance, nearest

EVERY = frozenset(range(1, MAX_ATOMIC_NUMBER + 1))
ORDINARY = EVERY - NOBLE - RADIOACTIVE
TRIED = 20_000  # combinations of elements for one parent: half a second

Choices = Sequence[tuple[int, int]]  # distances from an element and atomic numbers, in ascending order


class Rules(NamedTuple):
    """Which candidates are made.

    number: of substitutions for each parent at most. elements: atomic numbers that a candidate may have.
    strain: the largest relative change of a length, 0 for none; a strained candidate has so many copies,
    each strained in another way.
    """

    number: int
    elements: frozenset[int] = EVERY
    strain: float = 0.0
    copies: int = 1


class Candidate(NamedTuple):
    """A crystal made from another.

    substitutions: what is replaced by what, as in Sr-Ba+Ti-Zr. copy: the number of a strained one, or 0.
    """

    substitutions: str
    copy: int
    crystal: Crystal


def candidates(parent: Crystal, rules: Rules, rng: np.random.Generator) -> Iterator[Candidate]:
    """Yield the candidates made from a crystal, the most similar first.

    How far a candidate is from its parent is told by the sum of the distances of the elements that replace
    each other. Candidates whose atoms would overlap are left out.

    Args:
        parent: one that check_crystal takes.
        rules: which candidates are made.
        rng: draws the strains.
    """
    numbers, counts = (array.tolist() for array in np.unique(parent.numbers, return_counts=True))
    length, made = _length(numbers, counts), 0
    for replacing in substitutions(numbers, counts, rules.elements):
        table = np.zeros(MAX_ATOMIC_NUMBER + 1, np.uint8)
        table[numbers] = replacing
        lattice = parent.lattice * (_length(replacing, counts) / length)
        crystal = Crystal(table[parent.numbers], lattice, parent.frac_coords)
        if not _is_sound(crystal):
            continue
        yield from _copies(_name(numbers, replacing), crystal, rules, rng)
        made += 1
        if made == rules.number:
            return


def substitutions(
    numbers: Sequence[int], counts: Sequence[int], elements: frozenset[int] = EVERY
) -> Iterator[tuple[int, ...]]:
    """Yield what replaces the elements of a crystal, the most similar first.

    No two become one element, at least one is not the crystal's, and no composition comes twice. Noble and
    radioactive elements are there only if the crystal has them. Where oxidation states can balance the
    crystal, they can balance what is yielded. The search ends after TRIED combinations.

    Args:
        numbers: (k,) different atomic numbers.
        counts: (k,) how many atoms there are of each.
        elements: atomic numbers that may be yielded.
    """
    present = frozenset(numbers)
    allowed = elements & (ORDINARY | present)
    divisor = gcd(*counts)
    counts = [count // divisor for count in counts]
    balanced = can_balance(numbers, counts)
    compositions = set()
    for replacing in islice(_combinations([nearest(number, allowed) for number in numbers]), TRIED):
        composition = frozenset(zip(replacing, counts, strict=True))
        if len(set(replacing)) < len(numbers) or present.issuperset(replacing) or composition in compositions:
            continue
        if balanced and not can_balance(replacing, counts):
            continue
        compositions.add(composition)
        yield replacing


def strains(largest: float, copies: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return (copies, 3, 3) random symmetric strains, of which none changes a length by more than `largest`.

    The principal strains are drawn evenly between -largest and largest, along random directions.
    """
    axes, _ = np.linalg.qr(rng.normal(size=(copies, 3, 3)))
    principal = rng.uniform(-largest, largest, (copies, 1, 3))
    return np.asarray((axes * principal) @ axes.transpose(0, 2, 1))


def _copies(name: str, crystal: Crystal, rules: Rules, rng: np.random.Generator) -> Iterator[Candidate]:
    if not rules.strain:
        yield Candidate(name, 0, crystal)
        return
    for copy, strain in enumerate(strains(rules.strain, rules.copies, rng), start=1):
        lattice = crystal.lattice + crystal.lattice @ strain
        moved = Crystal(crystal.numbers, lattice, crystal.frac_coords)
        if _is_sound(moved):
            yield Candidate(name, copy, moved)


def _length(numbers: Sequence[int], counts: Sequence[int]) -> float:
    """The sum of the covalent radii of the atoms, Å."""
    radii = _radii()
    return sum(count * radii[number] for number, count in zip(numbers, counts, strict=True))


@cache
def _radii() -> list[float]:
    radii: list[float] = element_property("covalent_radius").tolist()
    return radii


def _is_sound(crystal: Crystal) -> bool:
    try:
        check_crystal(crystal, "candidate")
    except CrystalError:
        return False
    return True


def _name(numbers: Sequence[int], replacing: Sequence[int]) -> str:
    names = symbols()
    pairs = zip(numbers, replacing, strict=True)
    return "+".join(f"{names[old]}-{names[new]}" for old, new in pairs if old != new)


def _combinations(choices: Sequence[Choices]) -> Iterator[tuple[int, ...]]:
    """Yield one element of each of the choices, the smallest sum of distances first.

    Every combination is reached once, from the one before it in the last place that is not the first choice.
    """
    if not all(choices):
        return
    heap = [(sum(one[0][0] for one in choices), (0,) * len(choices), 0)]
    while heap:
        total, places, last = heapq.heappop(heap)
        yield tuple(one[place][1] for one, place in zip(choices, places, strict=True))
        for k in range(last, len(choices)):
            here, following = places[k], places[k] + 1
            if following < len(choices[k]):
                further = total - choices[k][here][0] + choices[k][following][0]
                heapq.heappush(heap, (further, (*places[:k], following, *places[k + 1 :]), k))
