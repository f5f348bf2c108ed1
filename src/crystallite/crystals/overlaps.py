"""Atoms too close to one another, found by a sweep along one axis instead of looking at every pair."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..computing.compiled import compiled
from ..computing.sorting import ascending


def distance_below(limit: float, lattice: NDArray[np.float64], frac_coords: NDArray[np.float64]) -> float:
    """Return a distance between two atoms that is below `limit` Å, periodic images included; else infinity.

    lattice: (3, 3), rows in Å. frac_coords: (n, 3). Cost: that of sorting, but for crowded cells.
    """
    cell, coordinates = np.array(lattice, np.float64), np.array(frac_coords, np.float64, order="C")
    return float(_distance_below(float(limit), cell, coordinates))


@compiled
def cell_heights(lattice, heights):  # type: ignore[no-untyped-def]
    """Fill `heights` (3,) with the distances in Å between opposite faces; return the cell's volume in Å³."""
    volume = 0.0
    for k in range(3):
        a, b = (k + 1) % 3, (k + 2) % 3
        x = lattice[a, 1] * lattice[b, 2] - lattice[a, 2] * lattice[b, 1]
        y = lattice[a, 2] * lattice[b, 0] - lattice[a, 0] * lattice[b, 2]
        z = lattice[a, 0] * lattice[b, 1] - lattice[a, 1] * lattice[b, 0]
        volume = abs(lattice[k, 0] * x + lattice[k, 1] * y + lattice[k, 2] * z)
        heights[k] = volume / np.sqrt(x * x + y * y + z * z)
    return volume


@compiled
def _distance_below(limit, lattice, wrapped):  # type: ignore[no-untyped-def]
    """The first distance below `limit` along the axis that spreads the atoms best; infinity if there is none.

    wrapped: (n, 3) fractional coordinates, which are moved into the cell.
    """
    n_atoms = len(wrapped)
    heights, orders = np.empty(3, np.float64), np.empty((3, n_atoms), np.int64)
    cell_heights(lattice, heights)
    coordinates = np.empty(3 * n_atoms, np.float64)  # along a, then along b, then along c
    order, scratch = np.empty(3 * n_atoms, np.int32), np.empty(3 * n_atoms, np.int32)
    for k in range(3):
        first = k * n_atoms
        for atom in range(n_atoms):
            wrapped[atom, k] -= np.floor(wrapped[atom, k])
            coordinates[first + atom] = wrapped[atom, k]
        # Positive numbers have the order of their bits.
        ascending(coordinates.view(np.uint64), first, first + n_atoms, order, scratch)
        for position in range(n_atoms):
            orders[k, position] = order[first + position] - first
    axis, most = 0, -1
    for k in range(3):
        slabs, last = 0, -1.0
        for position in range(n_atoms):
            slab = np.floor(wrapped[orders[k, position], k] * heights[k] / limit)
            slabs += slab != last
            last = slab
        if slabs > most:
            axis, most = k, slabs
    b_axis, c_axis = (axis + 1) % 3, (axis + 2) % 3
    reach_b, reach_c = limit / heights[b_axis], limit / heights[c_axis]
    for position in range(n_atoms):
        atom, slot, image = orders[axis, position], position, 0
        while True:
            other = orders[axis, slot]
            a = wrapped[other, axis] - wrapped[atom, axis] + image
            if a * heights[axis] > limit:
                break
            delta_b = wrapped[other, b_axis] - wrapped[atom, b_axis]
            delta_c = wrapped[other, c_axis] - wrapped[atom, c_axis]
            for image_b in range(int(np.ceil(-reach_b - delta_b)), int(np.floor(reach_b - delta_b)) + 1):
                for image_c in range(int(np.ceil(-reach_c - delta_c)), int(np.floor(reach_c - delta_c)) + 1):
                    if other == atom and image == 0 and image_b == 0 and image_c == 0:
                        continue
                    b, c, square = delta_b + image_b, delta_c + image_c, 0.0
                    for k in range(3):
                        part = a * lattice[axis, k] + b * lattice[b_axis, k] + c * lattice[c_axis, k]
                        square += part * part
                    if square < limit * limit:
                        return np.sqrt(square)
            slot += 1
            if slot == n_atoms:
                slot, image = 0, image + 1
    return np.inf
