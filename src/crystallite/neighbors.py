"""Nearest neighbours of atoms in a periodic crystal, with ties shared fairly.

Cutting a shell of equally distant neighbours at the twelfth atom makes a graph depend on how a crystal is
written down. Here the bonds tied with the last one share what is left of the neighbour count, so that the
graph depends on the crystal alone. Cost: quadratic in the atoms of a cell, constant in its volume.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .config import GraphConfig
from .crystal import Crystal

_OFF_GRID = 1.0000037  # times the tolerance: a gap of exactly 0.001 Å must not hang on rounding
_RADIUS_GROWTH = 1.3  # how much wider to look when too few neighbours were found
_RADIUS_MARGIN = 2.2  # first look: the sphere that holds this many times the neighbours at mean density


class Bonds(NamedTuple):
    """The weighted bonds of all atoms of a crystal.

    offsets: (n + 1,) int64; atom i owns bonds offsets[i] to offsets[i + 1], nearest first.
    neighbors: (bonds,) int32 atom at the other end. distances: (bonds,) float64, Å.
    weights: (bonds,) float64; those of an atom add up to n_neighbors.
    """

    offsets: NDArray[np.int64]
    neighbors: NDArray[np.int32]
    distances: NDArray[np.float64]
    weights: NDArray[np.float64]


def find_bonds(crystal: Crystal, config: GraphConfig) -> Bonds:
    """Return the bonds of every atom to its `config.n_neighbors` nearest neighbours over all periodic images.

    With `ties="shared"` the bonds tied with the last one (within `config.tolerance`) share its weight equally
    and the search radius grows as far as needed. With `ties="first"` exactly the first n_neighbors within
    `config.cutoff` count, and a missing one is a bond to atom 0 of length cutoff + 1, as the published code
    (github txie-93/cgcnn) does it.
    """
    frac_coords = np.ascontiguousarray(crystal.frac_coords)
    lattice = np.ascontiguousarray(crystal.lattice)
    if config.ties == "first":
        return Bonds(*first_bonds(lattice, frac_coords, config.n_neighbors, config.cutoff))
    return Bonds(*shared_bonds(lattice, frac_coords, config.n_neighbors, config.tolerance))


def shortest_distance(crystal: Crystal) -> float:
    """Return the shortest distance in Å between two atoms of the crystal, periodic images included."""
    config = GraphConfig(n_neighbors=1)
    return float(find_bonds(crystal, config).distances.min())


@njit(cache=True, nogil=True)
def shared_bonds(lattice, frac_coords, n_neighbors, tolerance):  # type: ignore[no-untyped-def]
    """Bonds with shared ties as (offsets, neighbors, distances, weights); see `find_bonds`."""
    n_atoms = len(frac_coords)
    heights, first_radius = _cell_heights(lattice, n_atoms, n_neighbors)
    wrapped = frac_coords - np.floor(frac_coords)
    tolerance *= _OFF_GRID
    offsets = np.zeros(n_atoms + 1, np.int64)
    neighbors = np.empty(n_atoms * (n_neighbors + 12), np.int32)
    distances = np.empty(len(neighbors))
    weights = np.empty(len(neighbors))
    near = np.empty(64 + 8 * n_neighbors, np.int32)
    near_distances = np.empty(len(near))
    for atom in range(n_atoms):
        radius = first_radius
        while True:
            count, near, near_distances = _atoms_within(
                lattice, heights, wrapped, atom, radius, near, near_distances
            )
            if count >= n_neighbors:
                _sort_by_distance(near, near_distances, count)
                last = near_distances[n_neighbors - 1]
                if last + tolerance < radius:
                    break
            radius *= _RADIUS_GROWTH
        n_sure = 0
        while near_distances[n_sure] < last - tolerance:
            n_sure += 1
        n_bonds = n_neighbors
        while n_bonds < count and near_distances[n_bonds] <= last + tolerance:
            n_bonds += 1
        start = offsets[atom]
        while start + n_bonds > len(neighbors):
            neighbors, distances, weights = _double(neighbors), _double(distances), _double(weights)
        offsets[atom + 1] = start + n_bonds
        neighbors[start : start + n_bonds] = near[:n_bonds]
        distances[start : start + n_bonds] = near_distances[:n_bonds]
        weights[start : start + n_sure] = 1.0
        weights[start + n_sure : start + n_bonds] = (n_neighbors - n_sure) / (n_bonds - n_sure)
    n_bonds = offsets[n_atoms]
    return offsets, neighbors[:n_bonds], distances[:n_bonds], weights[:n_bonds]


@njit(cache=True, nogil=True)
def first_bonds(lattice, frac_coords, n_neighbors, cutoff):  # type: ignore[no-untyped-def]
    """The published choice of bonds as (offsets, neighbors, distances, weights); see `find_bonds`."""
    n_atoms = len(frac_coords)
    heights, first_radius = _cell_heights(lattice, n_atoms, n_neighbors)
    wrapped = frac_coords - np.floor(frac_coords)
    offsets = np.arange(n_atoms + 1) * n_neighbors
    neighbors = np.zeros(n_atoms * n_neighbors, np.int32)
    distances = np.full(n_atoms * n_neighbors, cutoff + 1.0)
    weights = np.ones(n_atoms * n_neighbors)
    near = np.empty(64 + 8 * n_neighbors, np.int32)
    near_distances = np.empty(len(near))
    for atom in range(n_atoms):
        radius = min(first_radius, cutoff)
        while True:
            count, near, near_distances = _atoms_within(
                lattice, heights, wrapped, atom, radius, near, near_distances
            )
            if count >= n_neighbors or radius >= cutoff:
                break
            radius = min(radius * _RADIUS_GROWTH, cutoff)
        _sort_by_distance(near, near_distances, count)
        start = offsets[atom]
        n_bonds = min(count, n_neighbors)
        neighbors[start : start + n_bonds] = near[:n_bonds]
        distances[start : start + n_bonds] = near_distances[:n_bonds]
    return offsets, neighbors, distances, weights


@njit(cache=True, nogil=True)
def _cell_heights(lattice, n_atoms, n_neighbors):  # type: ignore[no-untyped-def]
    """Distances in Å between opposite faces of the cell, and the radius to look within first."""
    heights = np.empty(3)
    volume = 0.0
    for k in range(3):
        normal = np.cross(lattice[(k + 1) % 3], lattice[(k + 2) % 3])
        volume = abs(np.dot(lattice[k], normal))
        heights[k] = volume / np.sqrt(np.dot(normal, normal))
    radius = (_RADIUS_MARGIN * n_neighbors * volume / n_atoms * 0.75 / np.pi) ** (1.0 / 3.0)
    return heights, radius


@njit(cache=True, nogil=True, fastmath={"contract"})
def _atoms_within(lattice, heights, wrapped, atom, radius, near, near_distances):  # type: ignore[no-untyped-def]
    """Collect (unsorted) all images of atoms within `radius` of `atom`, itself left out.

    Returns their number and the two buffers, which are replaced by larger ones when too small.
    """
    count = 0
    reach_a, reach_b, reach_c = radius / heights[0], radius / heights[1], radius / heights[2]
    square = radius * radius
    for other in range(len(wrapped)):
        delta_a = wrapped[other, 0] - wrapped[atom, 0]
        delta_b = wrapped[other, 1] - wrapped[atom, 1]
        delta_c = wrapped[other, 2] - wrapped[atom, 2]
        for image_a in range(int(np.ceil(-reach_a - delta_a)), int(np.floor(reach_a - delta_a)) + 1):
            a = delta_a + image_a
            for image_b in range(int(np.ceil(-reach_b - delta_b)), int(np.floor(reach_b - delta_b)) + 1):
                b = delta_b + image_b
                x = a * lattice[0, 0] + b * lattice[1, 0]
                y = a * lattice[0, 1] + b * lattice[1, 1]
                z = a * lattice[0, 2] + b * lattice[1, 2]
                for image_c in range(int(np.ceil(-reach_c - delta_c)), int(np.floor(reach_c - delta_c)) + 1):
                    c = delta_c + image_c
                    dx, dy, dz = x + c * lattice[2, 0], y + c * lattice[2, 1], z + c * lattice[2, 2]
                    distance = dx * dx + dy * dy + dz * dz
                    if distance > square:
                        continue
                    if other == atom and image_a == 0 and image_b == 0 and image_c == 0:
                        continue
                    if count == len(near):
                        near, near_distances = _double(near), _double(near_distances)
                    near[count] = other
                    near_distances[count] = np.sqrt(distance)
                    count += 1
    return count, near, near_distances


@njit(cache=True, nogil=True)
def _sort_by_distance(near, near_distances, count):  # type: ignore[no-untyped-def]
    """Sort the first `count` entries by distance; a stable insertion sort, as there are only dozens."""
    for position in range(1, count):
        atom, distance = near[position], near_distances[position]
        slot = position
        while slot > 0 and near_distances[slot - 1] > distance:
            near[slot], near_distances[slot] = near[slot - 1], near_distances[slot - 1]
            slot -= 1
        near[slot], near_distances[slot] = atom, distance


@njit(cache=True, nogil=True)
def _double(array):  # type: ignore[no-untyped-def]
    """A copy of a flat array with twice the room."""
    larger = np.empty(2 * len(array), array.dtype)
    larger[: len(array)] = array
    return larger
