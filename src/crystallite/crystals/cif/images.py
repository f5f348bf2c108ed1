"""All atoms of the cell from the sites and the symmetry operations."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...computing.compiled import compiled
from ..crystal import MAX_ATOMS, MIN_DISTANCE
from .blocks import UnreadableError
from .operations import Group

SAME_POSITION = 0.1  # Å; images of one site closer than this are one atom, which stays where the first is


def expanded(
    frac_coords: NDArray[np.float64], group: Group, lattice: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the images (n, 3) of the sites, each in [0, 1) and once, and the site (n,) of each."""
    room = min(len(frac_coords) * len(group), MAX_ATOMS + 1)
    images, site_of = np.empty((room, 3)), np.empty(room, np.int64)
    count = _fill_images(frac_coords, group.operations, lattice, SAME_POSITION, images, site_of)
    if count > MAX_ATOMS:
        raise UnreadableError(f"more than {MAX_ATOMS:,} atoms")
    return images[:count].copy(), site_of[:count].copy()


def on_special_positions(
    frac_coords: NDArray[np.float64], group: Group, lattice: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the sites, those with images closer than MIN_DISTANCE on the special position these are around.

    Rounded coordinates do this: 0.33, 0.67 in a wide cell. The mean of the images that the operations of a
    special position make is exactly on it.
    """
    moved = frac_coords.copy()
    rotations, translations = group.operations[:, :, :3], group.operations[:, :, 3]
    for site in range(len(moved)):
        for _ in range(3):
            steps = rotations @ moved[site] + translations - moved[site]
            steps -= np.rint(steps)
            distances = np.linalg.norm(steps @ lattice, axis=1)
            near = distances < MIN_DISTANCE
            if distances[near].max() < SAME_POSITION:
                break
            moved[site] += steps[near].mean(axis=0)
    return moved


@compiled
def snap_to_thirds(frac_coords):  # type: ignore[no-untyped-def]
    """Replace, in place, coordinates such as 0.3333 by the third they mean (the bounds are pymatgen's)."""
    for atom in range(len(frac_coords)):
        for axis in range(3):
            for third in (1 / 3, 2 / 3):
                if abs(frac_coords[atom, axis] / third - 1) <= 1e-4:
                    frac_coords[atom, axis] = third


@compiled
def _fill_images(frac_coords, operations, lattice, distance, images, site_of):  # type: ignore[no-untyped-def]
    """Fill in the images of the sites, as far as there is room, and return how many there are.

    Those of one site that are closer than `distance` are there once.
    """
    count = 0
    for site in range(len(frac_coords)):
        first = count
        x, y, z = frac_coords[site, 0], frac_coords[site, 1], frac_coords[site, 2]
        for k in range(len(operations)):
            if count == len(images):
                return count
            for axis in range(3):
                position = operations[k, axis, 0] * x + operations[k, axis, 1] * y
                position = position + operations[k, axis, 2] * z + operations[k, axis, 3]
                images[count, axis] = position - np.floor(position)
            is_new = True
            for other in range(first, count):
                a, b, c = (
                    images[count, 0] - images[other, 0],
                    images[count, 1] - images[other, 1],
                    images[count, 2] - images[other, 2],
                )
                a, b, c = a - np.rint(a), b - np.rint(b), c - np.rint(c)
                square = 0.0
                for axis in range(3):
                    part = a * lattice[0, axis] + b * lattice[1, axis] + c * lattice[2, axis]
                    square += part * part
                if square < distance * distance:
                    is_new = False
                    break
            if is_new:
                site_of[count] = site
                count += 1
    return count
