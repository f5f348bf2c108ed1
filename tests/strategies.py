"""Made-up crystals for hypothesis, and ways to write the same crystal differently."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from crystallite.crystals.crystal import MIN_DISTANCE, Crystal
from crystallite.crystals.neighbors import find_bonds
from crystallite.crystals.overlaps import distance_below
from crystallite.settings.config import GraphConfig

coordinate = st.floats(-2, 2, allow_subnormal=False)
ELEMENTS = [1, 3, 8, 11, 14, 17, 22, 26, 29, 38, 56, 82]


def made(lattice: ArrayLike, numbers: Sequence[int], frac_coords: ArrayLike) -> Crystal:
    """A crystal; three numbers make an orthorhombic lattice."""
    lattice = np.asarray(lattice, float)
    return Crystal(
        np.array(numbers, np.uint8),
        np.diag(lattice) if lattice.ndim == 1 else lattice,
        np.array(frac_coords, float).reshape(-1, 3),
    )


def shortest_distance(crystal: Crystal) -> float:
    """The shortest distance in Å between two atoms of a crystal, periodic images included."""
    return float(find_bonds(crystal, GraphConfig(n_neighbors=1)).distances.min())


def rock_salt(a: float, cation: int = 11, anion: int = 17) -> Crystal:
    corners = np.array([(0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)])
    return made([a, a, a], 4 * [cation] + 4 * [anion], np.concatenate([corners, corners + 0.5]))


def face_centered(a: float, number: int = 29) -> Crystal:
    return made([a, a, a], 4 * [number], [(0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)])


def close_packed(a: float, number: int = 29, layers: str = "AB") -> Crystal:
    """Stacked layers, ideally spaced: twelve neighbours at one distance, as in `face_centered`."""
    cell = [[a, 0, 0], [-a / 2, a * 0.75**0.5, 0], [0, 0, a * len(layers) * (2 / 3) ** 0.5]]
    places = {"A": (0, 0), "B": (1 / 3, 2 / 3), "C": (2 / 3, 1 / 3)}
    sites = [(*places[layer], height / len(layers)) for height, layer in enumerate(layers)]
    return made(cell, len(layers) * [number], sites)


def diamond(a: float, number: int = 14) -> Crystal:
    corners = np.array([(0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)])
    return made([a, a, a], 8 * [number], np.concatenate([corners, corners + 0.25]))


def perovskite(a: float) -> Crystal:
    sites = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
    return made([a, a, a], [20, 22, 8, 8, 8], sites)


@st.composite
def lattices(draw: st.DrawFn) -> np.ndarray:
    """Cells from cubic to badly skewed: a triangle of lengths 2.5 to 8 Å, sheared by up to two cells."""
    lengths = [draw(st.floats(2.5, 8)) for _ in range(3)]
    if draw(st.booleans()):
        lengths[1] = lengths[0]
    shears = [draw(st.sampled_from([0, 0.5, -0.5]) | st.floats(-2, 2)) for _ in range(3)]
    lattice = np.diag(lengths)
    lattice[1, 0], lattice[2, 0], lattice[2, 1] = np.multiply(shears, [lengths[0], lengths[0], lengths[1]])
    return lattice


@st.composite
def crystals(draw: st.DrawFn, max_atoms: int = 6) -> Crystal:
    """Crystals of a few atoms at special and at general positions, some outside the cell."""
    n_atoms = draw(st.integers(1, max_atoms))
    numbers = draw(st.lists(st.sampled_from(ELEMENTS[:4]), min_size=n_atoms, max_size=n_atoms))
    coordinate = st.sampled_from([0, 0.25, 0.5, 0.75, 1 / 3, 2 / 3]) | st.floats(-1, 2)
    coordinates = draw(st.lists(coordinate, min_size=3 * n_atoms, max_size=3 * n_atoms))
    crystal = made(draw(lattices()), numbers, coordinates)
    assume(shortest_distance(crystal) > 0.5)
    return crystal


# ---- the same crystal, written differently


def reordered(crystal: Crystal, rng: np.random.Generator) -> Crystal:
    order = rng.permutation(len(crystal))
    return Crystal(crystal.numbers[order], crystal.lattice, crystal.frac_coords[order])


def shifted(crystal: Crystal, rng: np.random.Generator) -> Crystal:
    return Crystal(crystal.numbers, crystal.lattice, crystal.frac_coords + rng.uniform(-2, 2, 3))


def rotated(crystal: Crystal, rng: np.random.Generator, *, mirrored: bool = False) -> Crystal:
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    if (np.linalg.det(rotation) < 0) != mirrored:
        rotation[:, 0] *= -1
    return Crystal(crystal.numbers, crystal.lattice @ rotation, crystal.frac_coords)


def in_cell(crystal: Crystal, matrix: ArrayLike) -> Crystal:
    """The crystal in the cell `matrix` @ lattice: a supercell unless the determinant is ±1."""
    matrix = np.array(matrix)
    n_cells = round(abs(np.linalg.det(matrix)))
    inverse = np.linalg.inv(matrix)
    reach = np.arange(-np.abs(matrix).sum(), np.abs(matrix).sum() + 1)
    translations = np.stack(np.meshgrid(reach, reach, reach), axis=-1).reshape(-1, 3)
    inside = translations @ inverse
    translations = translations[((inside > -1e-9) & (inside < 1 - 1e-9)).all(axis=1)]
    assert len(translations) == n_cells
    coordinates = (crystal.frac_coords[:, None] + translations) @ inverse
    return Crystal(np.repeat(crystal.numbers, n_cells), matrix @ crystal.lattice, coordinates.reshape(-1, 3))


@st.composite
def unimodular(draw: st.DrawFn) -> np.ndarray:
    """Integer matrices of determinant ±1: products of shears and exchanges of axes."""
    matrix = np.eye(3, dtype=int)
    for _ in range(draw(st.integers(1, 3))):
        i, j = draw(st.sampled_from([(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]))
        matrix[i] += draw(st.sampled_from([-1, 1])) * matrix[j]
    return matrix[draw(st.permutations(range(3)))]


SUPERCELLS = {
    "2x1x1": np.diag([2, 1, 1]),
    "1x1x3": np.diag([1, 1, 3]),
    "2x2x2": np.diag([2, 2, 2]),
    "1x2x4": np.diag([1, 2, 4]),
    "turned x2": np.array([[1, 1, 0], [-1, 1, 0], [1, 0, 1]]),
}


def disguised(crystal, seed):
    """The same crystal: doubled along one axis, turned, its origin moved and its atoms shuffled."""
    rng = np.random.default_rng(seed)
    axis, n_atoms = seed % 3, len(crystal)
    shifts = np.repeat(np.eye(3)[axis][None] * np.arange(2)[:, None], n_atoms, axis=0)
    coords = (np.tile(crystal.frac_coords, (2, 1)) + shifts) / np.where(np.arange(3) == axis, 2, 1)
    lattice = crystal.lattice * np.where(np.arange(3) == axis, 2, 1)[:, None]
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    order = rng.permutation(2 * n_atoms)
    moved = (coords + rng.random(3))[order]
    return Crystal(np.tile(crystal.numbers, 2)[order], lattice @ turn, moved)


@st.composite
def any_crystals(draw):
    n_atoms = draw(st.integers(1, 5))
    shear = draw(st.lists(st.floats(-1, 1), min_size=3, max_size=3))
    lengths = draw(st.lists(st.floats(2, 9), min_size=3, max_size=3))
    lattice = np.diag(lengths)
    lattice[[1, 2, 2], [0, 0, 1]] = shear
    numbers = draw(st.lists(st.integers(1, 100), min_size=n_atoms, max_size=n_atoms))
    coords = np.reshape(draw(st.lists(coordinate, min_size=3 * n_atoms, max_size=3 * n_atoms)), (-1, 3))
    assume(distance_below(MIN_DISTANCE, lattice, coords) == np.inf)
    return Crystal(np.array(numbers, np.uint8), lattice, coords)


OTHER_CELLS = ([[1, 1, 0], [0, 1, 1], [0, 0, 1]], [[0, 1, 0], [1, 0, 0], [-2, 0, 1]])
Change = Callable[[Crystal, np.random.Generator], Crystal]
CHANGES: dict[str, Change] = {
    "order": reordered,
    "origin": shifted,
    "rotation": rotated,
    "reflection": lambda crystal, rng: rotated(crystal, rng, mirrored=True),
    "unit cell": lambda crystal, rng: in_cell(crystal, OTHER_CELLS[rng.integers(2)]),
    **{
        name: lambda crystal, rng, matrix=matrix: in_cell(crystal, matrix)
        for name, matrix in SUPERCELLS.items()
    },
    "all at once": lambda crystal, rng: reordered(
        rotated(shifted(in_cell(crystal, OTHER_CELLS[0] @ SUPERCELLS["2x1x1"]), rng), rng, mirrored=True), rng
    ),
}
