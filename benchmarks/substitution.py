"""How many crystals made by substitution are known ones, and how far their volumes are off.

    python benchmarks/substitution.py mp36k_crysxpp

A candidate is known if a crystal of the set has its elements on orbits of the same sizes and site symmetries
in the same space group. Each rule makes up to 30 candidates of every fourth crystal, the most similar first.
Rules: any elements in random order; the substitution probabilities of Hautier et al., Inorg. Chem. 50, 656
(2011), between ions of one charge, as in pymatgen; the modified Pettifor scale alone; and ours, which also
asks for charges that can be balanced. Needs spglib and pymatgen.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files
from itertools import islice
from typing import NamedTuple

import numpy as np
import spglib

from crystallite.crystals.crystal import Crystal
from crystallite.crystals.elements import atomic_numbers
from crystallite.materials.similarity import nearest
from crystallite.materials.substitution import ORDINARY, Rules, _combinations, candidates, substitutions
from crystallite.sources.streaming import read_crystals

NUMBERS = (1, 3, 10, 30)
RANDOM = random.Random(0)
Elements = tuple[int, ...]
Orbits = tuple[tuple[float, str], ...]


class Known(NamedTuple):
    """A crystal: its space group, the orbits of each element as shares of the atoms, and counts of atoms."""

    crystal: Crystal
    group: int
    orbits: dict[int, Orbits]
    counts: dict[int, int]

    def key(self, replacing: Elements) -> tuple[int, frozenset[tuple[int, Orbits]]]:
        """What is the same for crystals of one structure with these elements."""
        return self.group, frozenset(zip(replacing, self.orbits.values(), strict=True))


def known(crystal: Crystal) -> Known:
    cell = (crystal.lattice, crystal.frac_coords, crystal.numbers)
    data = spglib.get_symmetry_dataset(cell, symprec=0.01)
    orbits: dict[int, list[tuple[float, str]]] = {int(number): [] for number in np.unique(crystal.numbers)}
    for atom, size in zip(*np.unique(data.equivalent_atoms, return_counts=True), strict=True):
        share = round(float(size) / len(crystal), 6)
        orbits[int(crystal.numbers[atom])].append((share, data.site_symmetry_symbols[atom]))
    counts = {number: int((crystal.numbers == number).sum()) for number in orbits}
    return Known(crystal, data.number, {n: tuple(sorted(o)) for n, o in orbits.items()}, counts)


def hautier() -> Callable[[int], list[tuple[float, int]]]:
    """Return what ranks substitutes by the largest probability between ions of one charge."""
    text = files("pymatgen").joinpath("core/structure_prediction/data/lambda.json").read_text()
    weights = {(a, b): math.exp(w) for a, b, w in json.loads(text) if "D1+" not in (a, b)}
    ions = sorted({ion for pair in weights for ion in pair})
    weight = lambda a, b: weights.get((a, b), weights.get((b, a), math.exp(-5)))  # noqa: E731
    totals = {ion: sum(weight(ion, other) for other in ions) for ion in ions}
    best: dict[int, dict[int, float]] = {}
    for pair in weights:
        for old, new in (pair, pair[::-1]):
            a, b = (atomic_numbers()[ion.rstrip("+-0123456789")] for ion in (old, new))
            if old[-2:] == new[-2:] and a != b and b in ORDINARY:
                cost = -math.log(weight(old, new) / totals[old])
                best.setdefault(a, {})[b] = min(cost, best.get(a, {}).get(b, math.inf))
    return lambda number: [(0.0, number), *sorted((c, b) for b, c in best.get(number, {}).items())]


def at_random(number: int) -> list[tuple[float, int]]:
    others = sorted(ORDINARY - {number})
    RANDOM.shuffle(others)
    return [(0.0, number), *((float(k), other) for k, other in enumerate(others, start=1))]


def by_scale(number: int) -> Sequence[tuple[float, int]]:
    return nearest(number, ORDINARY | {number})


def ranked(choices: Callable[[int], Sequence[tuple[float, int]]]) -> Callable[[Known], Iterator[Elements]]:
    """Return a rule that takes combinations of these choices in their order."""

    def rule(parent: Known) -> Iterator[Elements]:
        for replacing in _combinations([choices(number) for number in parent.orbits]):  # type: ignore[misc]
            if len(set(replacing)) == len(replacing) and not parent.orbits.keys() >= set(replacing):
                yield replacing

    return rule


def ours(parent: Known) -> Iterator[Elements]:
    return substitutions(list(parent.counts), list(parent.counts.values()))


RULES: dict[str, Callable[[Known], Iterator[Elements]]] = {
    "random": ranked(at_random),
    "Hautier, same charge": ranked(hautier()),
    "Pettifor scale": ranked(by_scale),
    "Pettifor scale, balanced": ours,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    crystals = [known(crystal) for _, crystal in read_crystals([parser.parse_args().data], [], print)]
    index = {one.key(tuple(one.orbits)): one for one in reversed(crystals)}
    parents = list(index.values())[::4]
    print(f"{len(index):,} different crystals, {len(parents):,} parents")
    print(f"{'share of known candidates among the first':45}", *(f"{number:7}" for number in NUMBERS))
    for name, rule in RULES.items():
        found, made = np.zeros(NUMBERS[-1]), np.zeros(NUMBERS[-1])
        for parent in parents:
            for k, replacing in enumerate(islice(rule(parent), NUMBERS[-1])):
                made[k] += 1
                found[k] += parent.key(replacing) in index
        shares = [found[:number].sum() / made[:number].sum() for number in NUMBERS]
        print(f"{name:45}", *(f"{share:7.1%}" for share in shares))
    report_volumes(parents, index)


def report_volumes(parents: list[Known], index: dict[object, Known]) -> None:
    """Print how far the volumes of candidates are from those of the known crystals that they are."""
    errors, unscaled = [], []
    for parent in parents:
        old = parent.crystal
        for candidate in candidates(old, Rules(10), np.random.default_rng(0)):
            numbers = candidate.crystal.numbers
            replacing = tuple(int(numbers[old.numbers == number][0]) for number in parent.orbits)
            true = index.get(parent.key(replacing))
            if true is not None:
                volume = true.crystal.volume / len(true.crystal) * len(old)
                errors.append(abs(candidate.crystal.volume / volume - 1))
                unscaled.append(abs(old.volume / volume - 1))
    for name, values in (("scaled by covalent radii", errors), ("the parent's cell", unscaled)):
        median, high = np.quantile(values, [0.5, 0.95])
        print(
            f"volumes of {len(values):,} known candidates, {name}: off by {np.mean(values):.1%} on average, "
            f"median {median:.1%}, 95 % {high:.1%}"
        )


if __name__ == "__main__":
    main()
