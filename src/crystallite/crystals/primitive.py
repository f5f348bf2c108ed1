"""The primitive cell of a crystal: how many atoms it has, and how long the edges of its reduced cell are.

moyopy and spglib find it on the way to space groups, in 0.8 and 4 ms a crystal; translations alone take some
microseconds. The tests compare with spglib.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..computing.compiled import compiled, read_only
from ..computing.sorting import ascending
from .crystal import CrystalArrays
from .overlaps import cell_heights

SAME_PLACE = 0.01  # Å; how far from an atom a translation may take another one
_SHORTER = 1 - 1e-9  # squares of lengths that differ by less are equal


def primitive_cells(crystals: CrystalArrays, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return (rows, 3): atoms of the primitive cell, and longest and shortest edge of the reduced one in Å.

    rows: which of the crystals. The edges of a reduced cell are the shortest three translations that do not
    lie in a plane, as Niggli and Minkowski choose them.
    """
    found = np.empty((len(rows), 3))
    _describe(*read_only(*crystals, rows), found)
    return found


@compiled
def _describe(lattices, offsets, numbers, frac_coords, rows, found):  # type: ignore[no-untyped-def]
    """Fill in what `primitive_cells` returns."""
    lattice = np.empty((3, 3))
    for row in range(len(rows)):
        crystal = rows[row]
        first, n_atoms = offsets[crystal], offsets[crystal + 1] - offsets[crystal]
        kinds, places = np.empty(n_atoms, np.int64), np.empty((n_atoms, 3))
        for k in range(3):
            for axis in range(3):
                lattice[k, axis] = lattices[crystal, k, axis]
            for atom in range(n_atoms):
                places[atom, k] = frac_coords[first + atom, k]
        for atom in range(n_atoms):
            kinds[atom] = numbers[first + atom]
        parts = 0
        while parts != 1:
            parts = _divide(lattice, kinds, places, n_atoms)
            n_atoms //= parts
        _shorten(lattice)
        longest, shortest = 0.0, np.inf
        for k in range(3):
            square = _square(lattice[k, 0], lattice[k, 1], lattice[k, 2])
            longest, shortest = max(longest, square), min(shortest, square)
        found[row, 0], found[row, 1], found[row, 2] = n_atoms, np.sqrt(longest), np.sqrt(shortest)


@compiled
def _divide(lattice, kinds, places, n_atoms):  # type: ignore[no-untyped-def]
    """Divide the cell of the first `n_atoms` by a translation that repeats them, if there is one.

    Return into how many cells: a prime number, or 1. If there are such translations, for one of them a prime
    number of it make a translation of the lattice, and this number divides that of each element's atoms.
    """
    counts = np.zeros(256, np.int64)
    for atom in range(n_atoms):
        counts[kinds[atom]] += 1
    divisor, rarest = 0, kinds[0]
    for kind in range(256):
        if counts[kind]:
            divisor = _common(divisor, counts[kind])
            if counts[kind] < counts[rarest]:
                rarest = kind
    if divisor == 1:
        return 1
    index = _sorted(lattice, places, n_atoms)
    step, partners = np.empty(3, np.int64), np.empty(n_atoms, np.int64)
    first = 0
    while kinds[first] != rarest:
        first += 1
    prime = 2
    while divisor > 1:
        if divisor % prime:
            prime += 1
            continue
        for other in range(first + 1, n_atoms):
            if (
                kinds[other] == rarest
                and _is_part(lattice, places, first, other, prime, step)
                and _repeats(lattice, kinds, places, n_atoms, first, step, prime, index, partners)
                and _fold(lattice, kinds, places, n_atoms, step, prime, partners)
            ):
                return prime
        while divisor % prime == 0:
            divisor //= prime
    return 1


@compiled
def _common(a, b):  # type: ignore[no-untyped-def]
    """The greatest common divisor."""
    while b:
        a, b = b, a % b
    return a


@compiled
def _sorted(lattice, places, n_atoms):  # type: ignore[no-untyped-def]
    """Where atoms are along a direction that few crystals repeat along, in periods, and their order there.

    The third value is how far atoms in the same place may be apart in it. Moves atoms into the cell.
    """
    keys, order, scratch = np.empty(n_atoms), np.empty(n_atoms, np.int32), np.empty(n_atoms, np.int32)
    for atom in range(n_atoms):
        for k in range(3):
            places[atom, k] -= np.floor(places[atom, k])
        keys[atom] = _key(places[atom, 0], places[atom, 1], places[atom, 2])
    ascending(keys.view(np.uint64), 0, n_atoms, order, scratch)  # of positive numbers bits have their order
    heights = np.empty(3)
    cell_heights(lattice, heights)
    return keys, order, SAME_PLACE * (1 / heights[0] + 3 / heights[1] + 7 / heights[2])


@compiled
def _key(a, b, c):  # type: ignore[no-untyped-def]
    along = a + 3 * b + 7 * c
    return along - np.floor(along)


@compiled
def _square(x, y, z):  # type: ignore[no-untyped-def]
    return x * x + y * y + z * z


@compiled
def _distance(lattice, a, b, c):  # type: ignore[no-untyped-def]
    """The length in Å of a difference of places, less whole edges of the cell."""
    a, b, c = a - np.rint(a), b - np.rint(b), c - np.rint(c)
    square = 0.0
    for k in range(3):
        square += (a * lattice[0, k] + b * lattice[1, k] + c * lattice[2, k]) ** 2
    return np.sqrt(square)


@compiled
def _is_part(lattice, places, first, other, parts, step):  # type: ignore[no-untyped-def]
    """Whether from one atom to another are such parts of edges, not only whole ones; how many: `step`."""
    is_whole = True
    for k in range(3):
        step[k] = int(np.rint(parts * (places[other, k] - places[first, k]))) % parts
        is_whole &= step[k] == 0
    a = places[other, 0] - places[first, 0] - step[0] / parts
    b = places[other, 1] - places[first, 1] - step[1] / parts
    c = places[other, 2] - places[first, 2] - step[2] / parts
    return not is_whole and _distance(lattice, a, b, c) < SAME_PLACE


@compiled
def _repeats(lattice, kinds, places, n_atoms, first, step, parts, index, partners):  # type: ignore[no-untyped-def]
    """Whether the translation takes every atom to one of its element; which: into `partners`."""
    a, b, c = step[0] / parts, step[1] / parts, step[2] / parts
    for times in range(2, parts):  # where the first goes tells most that are none
        x, y, z = places[first, 0] + times * a, places[first, 1] + times * b, places[first, 2] + times * c
        if _atom_at(lattice, kinds, places, x, y, z, kinds[first], index) < 0:
            return False
    for atom in range(n_atoms):
        x, y, z = places[atom, 0] + a, places[atom, 1] + b, places[atom, 2] + c
        partners[atom] = _atom_at(lattice, kinds, places, x, y, z, kinds[atom], index)
        if partners[atom] < 0:
            return False
    return True


@compiled
def _atom_at(lattice, kinds, places, x, y, z, kind, index):  # type: ignore[no-untyped-def]
    """The atom of an element in this place, or -1; index: of `_sorted`."""
    keys, order, reach = index
    n_atoms = len(order)
    start = _key(x, y, z) - reach
    start -= np.floor(start)
    slot, end = 0, n_atoms
    while slot < end:
        middle = (slot + end) // 2
        if keys[order[middle]] < start:
            slot = middle + 1
        else:
            end = middle
    for _ in range(n_atoms):
        atom = order[slot % n_atoms]
        ahead = keys[atom] - start
        if ahead - np.floor(ahead) > 2 * reach:
            return -1
        a, b, c = x - places[atom, 0], y - places[atom, 1], z - places[atom, 2]
        if kinds[atom] == kind and _distance(lattice, a, b, c) < SAME_PLACE:
            return atom
        slot += 1
    return -1


@compiled
def _fold(lattice, kinds, places, n_atoms, step, parts, partners):  # type: ignore[no-untyped-def]
    """Take the translation in place of an edge, and of atoms that it repeats the first, if it can be done.

    A multiple of it goes one part along that edge: so many of it make the edge and multiples of the others.
    """
    kept, seen = np.empty(n_atoms, np.int64), np.zeros(n_atoms, np.bool_)
    count = 0
    for atom in range(n_atoms):
        if not seen[atom]:
            kept[count], count = atom, count + 1
            while not seen[atom]:
                seen[atom] = True
                atom = partners[atom]
    if count * parts != n_atoms:
        return False
    edge = 0
    while step[edge] == 0:
        edge += 1
    factor = 1
    while factor * step[edge] % parts != 1:
        factor += 1
    for k in range(3):
        step[k] = factor * step[k] % parts
    for k in range(3):
        total = step[0] * lattice[0, k] + step[1] * lattice[1, k] + step[2] * lattice[2, k]
        lattice[edge, k] = total / parts
    for slot in range(count):
        along = places[kept[slot], edge]
        for k in range(3):
            place = places[kept[slot], k]
            places[slot, k] = parts * along if k == edge else place - step[k] * along
        kinds[slot] = kinds[kept[slot]]
    return True


@compiled
def _shorten(lattice):  # type: ignore[no-untyped-def]
    """Make the edges as short as translations can be (Minkowski's conditions, which suffice in space)."""
    edge = 0
    while edge < 3:
        one, other = (edge + 1) % 3, (edge + 2) % 3
        own = _square(lattice[edge, 0], lattice[edge, 1], lattice[edge, 2])
        shorter = False
        for case in range(9):
            a, b = case // 3 - 1, case % 3 - 1
            x = lattice[edge, 0] + a * lattice[one, 0] + b * lattice[other, 0]
            y = lattice[edge, 1] + a * lattice[one, 1] + b * lattice[other, 1]
            z = lattice[edge, 2] + a * lattice[one, 2] + b * lattice[other, 2]
            if _square(x, y, z) < _SHORTER * own:
                lattice[edge, 0], lattice[edge, 1], lattice[edge, 2] = x, y, z
                own, shorter = _square(x, y, z), True
        edge = 0 if shorter else edge + 1
