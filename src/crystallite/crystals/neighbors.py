"""Nearest neighbours of atoms in a periodic crystal, with ties shared fairly.

Cutting a shell of equally distant neighbours at the twelfth atom makes a graph depend on how a crystal is
written down. Here the bonds tied with the last one share what is left of the neighbour count, so that the
graph depends on the crystal alone. Cost: grows with the atoms of a cell, and not with its volume: atoms of
large cells are looked for in the bins around an atom alone.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..computing.compiled import compiled
from ..settings.config import GraphConfig
from .crystal import Crystal, CrystalArrays
from .orientation import N_ORDERS, SLOT_BITS, fill_orders
from .overlaps import cell_heights

_OFF_GRID = 1.0000037  # times the tolerance: a gap of exactly 0.001 Å must not hang on rounding
_NEXT_RADIUS = 1.02  # first look of the next atom, over the longest bond of those before
_RADIUS_GROWTH = 1.3  # how much wider to look when too few neighbours were found
_FEW_ATOMS = 64  # cells with fewer are not divided into bins
_ROUNDING = 1e-6  # of a bin; far more than coordinates and reaches are rounded by
_RUN = 32  # entries that are sorted by insertion before they are merged
_RADIUS_MARGIN = 2.2  # first look: the sphere that holds this many times the neighbours at mean density


class Bonds(NamedTuple):
    """The weighted bonds of all atoms of a crystal, or of several crystals one after the other.

    offsets: (n + 1,) int64; atom i owns bonds offsets[i] to offsets[i + 1], nearest first.
    neighbors: (bonds,) int32 atom of the same crystal at the other end. distances: (bonds,) float64, Å.
    weights: (bonds,) float64; those of an atom add up to n_neighbors. orders: (n, N_ORDERS) float64, how the
    bonds of each atom are arranged around it, see `orientation`.
    """

    offsets: NDArray[np.int64]
    neighbors: NDArray[np.int32]
    distances: NDArray[np.float64]
    weights: NDArray[np.float64]
    orders: NDArray[np.float64]


def find_bonds(crystal: Crystal, config: GraphConfig) -> Bonds:
    """Return the bonds of every atom to its `config.n_neighbors` nearest neighbours over all periodic images.

    With `ties="shared"` the bonds tied with the last one (within `config.tolerance`) share its weight equally
    and the search radius grows as far as needed. With `ties="first"` exactly the first n_neighbors within
    `config.cutoff` count, and a missing one is a bond to atom 0 of length cutoff + 1, as the published code
    (github txie-93/cgcnn) does it.
    """
    offsets = np.array([0, len(crystal)])
    alone = CrystalArrays(crystal.lattice[None], offsets, crystal.numbers, crystal.frac_coords)
    return find_bonds_of_all(alone, config)


def find_bonds_of_all(crystals: CrystalArrays, config: GraphConfig) -> Bonds:
    """Return the bonds of all atoms of several crystals; see `find_bonds`."""
    published, n_neighbors = config.ties == "first", config.n_neighbors
    cutoff, tolerance = (config.cutoff, -np.inf) if published else (np.inf, config.tolerance)
    cells = crystals.lattices.copy(), crystals.offsets.copy()  # to write to: compiled once for all arrays
    wrapped = crystals.frac_coords - np.floor(crystals.frac_coords)
    offsets, room, done = np.zeros(len(wrapped) + 1, np.int64), len(wrapped) * (n_neighbors + 12), 0
    bonds: tuple[Any, ...] = np.empty(room, np.int32), np.empty(room), np.empty(room)
    orders = np.zeros((len(wrapped), N_ORDERS))
    limits = n_neighbors, float(cutoff), float(tolerance)
    while True:
        done = _find(*cells, wrapped, *limits, done, offsets, *bonds, orders)
        if done == len(wrapped):
            neighbors, distances, weights = (array[: offsets[-1]] for array in bonds)
            return Bonds(offsets, neighbors, distances, weights, orders)
        bonds = tuple(np.concatenate((array, array)) for array in bonds)  # twice the room


@compiled
def _find(  # type: ignore[no-untyped-def]
    lattices, atom_offsets, wrapped, n_neighbors, cutoff, tolerance,
    done, offsets, neighbors, distances, weights, orders,
):  # fmt: skip
    """Fill the fields of Bonds from atom `done` on, as far as there is room; return the atoms done.

    wrapped: (atoms, 3) fractional coordinates in [0, 1]. Looks no further than `cutoff`, which may be
    infinite; with a tolerance of -inf no bonds are tied.
    """
    tolerance *= _OFF_GRID
    images, near_distances, directions, spare, spare_distances = _buffers(64 + 8 * n_neighbors)
    around = np.empty((5, 64))
    heights, n_bins = np.empty(3, np.float64), np.empty(3, np.int64)
    for crystal in range(len(lattices)):
        lattice, start, stop = lattices[crystal], atom_offsets[crystal], atom_offsets[crystal + 1]
        if stop <= done:
            continue
        volume_of_neighbors = _RADIUS_MARGIN * n_neighbors * cell_heights(lattice, heights) / (stop - start)
        first_radius = (volume_of_neighbors * 0.75 / np.pi) ** (1.0 / 3.0)
        members, starts = _binned(first_radius, heights, wrapped, start, stop, n_bins)
        candidates, longest = np.empty(stop - start, np.int64), 0.0
        for atom in range(max(start, done), stop):
            radius = min(first_radius, cutoff)
            if longest > 0.0:
                radius = min(radius, _NEXT_RADIUS * longest)
            while True:
                n_candidates = _candidates(
                    radius, heights, wrapped[atom], n_bins, members, starts, candidates
                )
                count = _atoms_within(
                    radius, lattice, heights, wrapped, start, atom, candidates, n_candidates,
                    images, near_distances, directions,
                )  # fmt: skip
                if count > len(images):
                    images, near_distances, directions, spare, spare_distances = _buffers(2 * count)
                    continue
                if count >= n_neighbors or radius >= cutoff:
                    _sort_by_distance(images, near_distances, spare, spare_distances, count)
                    for missing in range(count, n_neighbors):
                        images[missing], near_distances[missing] = 0, cutoff + 1.0
                    last = near_distances[n_neighbors - 1]
                    if last + tolerance < radius:
                        longest = max(longest, last + max(tolerance, 0.0))
                        break
                radius = min(radius * _RADIUS_GROWTH, cutoff)
            if not _add_bonds(
                atom, images, near_distances, count, n_neighbors, tolerance,
                offsets, neighbors, distances, weights,
            ):  # fmt: skip
                return atom
            first, n_real = offsets[atom], min(offsets[atom + 1] - offsets[atom], count)
            bonds = slice(first, first + n_real)
            if around.shape[1] < n_real:
                around = np.empty((5, 2 * n_real))
            fill_orders(images, directions, distances[bonds], weights[bonds], around, orders[atom])
    return len(wrapped)


@compiled
def _buffers(size):  # type: ignore[no-untyped-def]
    """What is found around an atom: images, their distances and directions; room to sort the first two in."""
    return (
        np.empty(size, np.int64),
        np.empty(size, np.float64),
        np.empty((size, 3), np.float64),
        np.empty(size, np.int64),
        np.empty(size, np.float64),
    )


@compiled
def _add_bonds(  # type: ignore[no-untyped-def]
    atom, images, near_distances, count, n_neighbors, tolerance, offsets, neighbors, distances, weights
):
    """Add the nearest of `count` sorted neighbours of an atom to its bonds, those tied with the last as well.

    Returns whether there is room for them.
    """
    last = near_distances[n_neighbors - 1]
    n_bonds = n_neighbors
    while n_bonds < count and near_distances[n_bonds] <= last + tolerance:
        n_bonds += 1
    first = offsets[atom]
    if first + n_bonds > len(neighbors):
        return False
    offsets[atom + 1] = first + n_bonds
    n_sure = 0
    for k in range(n_bonds):
        neighbors[first + k], distances[first + k] = images[k] >> SLOT_BITS, near_distances[k]
        n_sure += near_distances[k] < last - tolerance
    for k in range(n_bonds):
        weights[first + k] = 1.0 if k < n_sure else (n_neighbors - n_sure) / (n_bonds - n_sure)
    return True


@compiled
def _binned(width, heights, wrapped, start, stop, n_bins):  # type: ignore[no-untyped-def]
    """Sort the atoms start to stop into bins, `width` Å or wider, that divide the cell along its axes.

    Fills `n_bins` (3,). Returns the atoms bin after bin, and the slot at which each bin starts.
    """
    for axis in range(3):
        n_bins[axis] = max(1, int(heights[axis] / width)) if stop - start > _FEW_ATOMS else 1
    starts = np.zeros(n_bins[0] * n_bins[1] * n_bins[2] + 1, np.int64)
    members, bin_of = np.empty(stop - start, np.int64), np.zeros(stop - start, np.int64)
    for slot in range(len(members)):
        for axis in range(3):
            place = min(int(wrapped[start + slot, axis] * n_bins[axis]), n_bins[axis] - 1)
            bin_of[slot] = bin_of[slot] * n_bins[axis] + place
        starts[bin_of[slot]] += 1
    for place in range(1, len(starts)):
        starts[place] += starts[place - 1]  # so far where a bin ends
    for slot in range(len(members) - 1, -1, -1):
        starts[bin_of[slot]] -= 1
        members[starts[bin_of[slot]]] = start + slot
    return members, starts


@compiled
def _candidates(  # type: ignore[no-untyped-def]
    radius, heights, position, n_bins, members, starts, candidates
):
    """Fill in the atoms of all bins within `radius` of a position (3,); return their number."""
    first_a, end_a = _bins_within(radius / heights[0], position[0], n_bins[0])
    first_b, end_b = _bins_within(radius / heights[1], position[1], n_bins[1])
    first_c, end_c = _bins_within(radius / heights[2], position[2], n_bins[2])
    count = 0
    for bin_a in range(first_a, end_a):
        for bin_b in range(first_b, end_b):
            row = (bin_a % n_bins[0] * n_bins[1] + bin_b % n_bins[1]) * n_bins[2]
            for bin_c in range(first_c, end_c):
                place = row + bin_c % n_bins[2]
                for slot in range(starts[place], starts[place + 1]):
                    candidates[count] = members[slot]
                    count += 1
    return count


@compiled
def _bins_within(reach, position, n_bins):  # type: ignore[no-untyped-def]
    """The first and the end of the bins along an axis within `reach` of `position`, each once, unwrapped."""
    first = int(np.floor((position - reach) * n_bins - _ROUNDING))
    last = int(np.floor((position + reach) * n_bins + _ROUNDING))
    return first, min(last + 1, first + n_bins)


@compiled(fastmath={"contract"})
def _atoms_within(  # type: ignore[no-untyped-def]
    radius,
    lattice,
    heights,
    wrapped,
    start,
    atom,
    candidates,
    n_candidates,
    images,
    near_distances,
    directions,
):
    """Collect (unsorted) all images of the candidates within `radius` of `atom`, itself left out.

    start: the first atom of the crystal. An image is its atom in the upper bits and its row of `directions`
    in the lower SLOT_BITS. Returns their number; those for which the buffers have no room are counted only.
    """
    count = 0
    reach_a, reach_b, reach_c = radius / heights[0], radius / heights[1], radius / heights[2]
    square = radius * radius
    for candidate in range(n_candidates):
        other = candidates[candidate]
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
                    if count < len(images):
                        images[count] = (other - start) << SLOT_BITS | count
                        near_distances[count] = np.sqrt(distance)
                        directions[count, 0], directions[count, 1], directions[count, 2] = dx, dy, dz
                    count += 1
    return count


@compiled
def _sort_by_distance(images, near_distances, spare, spare_distances, count):  # type: ignore[no-untyped-def]
    """Sort the first `count` images by distance, then by atom, those of one atom as they come.

    A merge sort of sorted runs.
    """
    for position in range(1, count):
        atom, distance, slot = images[position], near_distances[position], position
        while slot % _RUN > 0 and (
            near_distances[slot - 1] > distance
            or (near_distances[slot - 1] == distance and images[slot - 1] > atom)
        ):
            images[slot], near_distances[slot] = images[slot - 1], near_distances[slot - 1]
            slot -= 1
        images[slot], near_distances[slot] = atom, distance
    width = _RUN
    while width < count:
        for position in range(count):
            spare[position], spare_distances[position] = images[position], near_distances[position]
        for begin in range(0, count, 2 * width):
            left, middle = begin, min(begin + width, count)
            right, end = middle, min(begin + 2 * width, count)
            for slot in range(begin, end):
                if right == end or (
                    left < middle
                    and (
                        spare_distances[left] < spare_distances[right]
                        or (spare_distances[left] == spare_distances[right] and spare[left] <= spare[right])
                    )
                ):
                    images[slot], near_distances[slot] = spare[left], spare_distances[left]
                    left += 1
                else:
                    images[slot], near_distances[slot] = spare[right], spare_distances[right]
                    right += 1
        width *= 2
