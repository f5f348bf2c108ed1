"""Bins of large cells lose no neighbour: wherever atoms lie, and whatever the shape of the cell."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import in_cell, made, reordered, rock_salt
from test_neighbors import FIRST, SHARED, ase_neighbors, check_against

from crystallite.crystals.crystal import Crystal
from crystallite.crystals.neighbors import find_bonds
from crystallite.settings.config import GraphConfig

SHAPES = {
    "cube": [16, 16, 16],
    "plate": [40, 30, 4],
    "thin plate": [60, 60, 1.5],
    "needle": [3, 4, 300],
    "thin needle": [1.5, 1.5, 900],
    "mostly vacuum": [60, 60, 60],
}
TURNED = np.array([[3, 1, 0], [0, 3, 1], [2, 0, 4]])


@st.composite
def large_crystals(draw: st.DrawFn) -> Crystal:
    """65 to 200 atoms, with many on boundaries of cell and bins, in one half of the cell or all over it."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_atoms = draw(st.integers(65, 200))
    lattice = np.diag(draw(st.sampled_from(list(SHAPES.values()))))
    shears = [draw(st.sampled_from([0, 0.5, -0.5]) | st.floats(-2, 2)) for _ in range(3)]
    lattice[1, 0], lattice[2, 0], lattice[2, 1] = np.multiply(shears, np.diag(lattice)[[0, 0, 1]])
    coordinates = rng.random((n_atoms, 3)) * draw(st.sampled_from([1.0, 0.5]))
    on_boundary = rng.random((n_atoms, 3)) < draw(st.sampled_from([0.0, 0.2]))
    boundaries = [0.0, 1.0, -1e-17, 1 - 1e-16, 0.5, 0.25, 1 / 3, 2 / 3]
    coordinates[on_boundary] = rng.choice(boundaries, on_boundary.sum())
    coordinates += rng.integers(-2, 3, (n_atoms, 3)) * draw(st.booleans())
    return made(lattice[draw(st.permutations(range(3)))], rng.integers(1, 90, n_atoms), coordinates)


@settings(max_examples=60)
@given(large_crystals(), st.sampled_from([1e-3, 0.1]))
def test_against_all_pairs_of_ase(crystal: Crystal, tolerance: float) -> None:
    bonds = find_bonds(crystal, GraphConfig(tolerance=tolerance))
    reference = ase_neighbors(crystal, bonds.distances.max() + 0.3)
    check_against(reference, crystal, GraphConfig(tolerance=tolerance))


@settings(max_examples=60)
@given(large_crystals(), st.sampled_from([0.503, 3.107, 8.013]))
def test_published_rule_against_all_pairs_of_ase(crystal: Crystal, cutoff: float) -> None:
    """Cutoffs much smaller and much larger than a bin; those tied bit for bit come in the atoms' order."""
    bonds = find_bonds(crystal, GraphConfig(ties="first", cutoff=cutoff))
    centers, _, distances = ase_neighbors(crystal, cutoff)
    for atom in range(len(crystal)):
        expected = np.sort(distances[centers == atom])[:12]
        ours = slice(bonds.offsets[atom], bonds.offsets[atom + 1])
        padded = [*expected, *(12 - len(expected)) * [cutoff + 1]]
        np.testing.assert_allclose(bonds.distances[ours], padded, rtol=0, atol=1e-9)
        tied = np.diff(bonds.distances[ours]) == 0
        assert (np.diff(bonds.neighbors[ours])[tied] >= 0).all()


@pytest.mark.parametrize(
    "matrix", [np.diag([3, 3, 3]), np.diag([1, 2, 20]), [[3, 1, 0], [0, 3, 1], [2, 0, 4]]]
)
@pytest.mark.parametrize("config", [SHARED, FIRST], ids=["shared", "first"])
def test_supercell_has_the_bonds_of_its_cell(matrix, config: GraphConfig) -> None:
    rng = np.random.default_rng(0)
    bonds = find_bonds(reordered(in_cell(rock_salt(5.64), matrix), rng), config)
    of_cell = find_bonds(rock_salt(5.64), config)
    n_bonds = len(of_cell.distances) // 8
    np.testing.assert_array_equal(np.diff(bonds.offsets), n_bonds)
    expected = np.tile(of_cell.distances[:n_bonds], len(bonds.offsets) - 1)
    np.testing.assert_allclose(bonds.distances, expected, rtol=0, atol=1e-9)


def test_a_molecule_far_from_a_crowd() -> None:
    """Bonds found before tell where to look first: too far for the crowd, not far enough after it."""
    rng = np.random.default_rng(1)
    crowd = rng.uniform(0.4, 0.5, (150, 3))
    far = [[0.9, 0.9, 0.9], [0.9, 0.9, 0.91]]
    crystal = made([100, 100, 100], 152 * [6], np.concatenate([far[:1], crowd, far[1:]]))
    check_against(ase_neighbors(crystal, find_bonds(crystal, SHARED).distances.max() + 0.1), crystal)
