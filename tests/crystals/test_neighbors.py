"""Bonds agree with pymatgen and ASE, and their weights share ties fairly."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from ase import Atoms
from ase.neighborlist import neighbor_list
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Element, Lattice, Structure
from strategies import crystals, made, rock_salt, rotated, shifted, shortest_distance

from crystallite.crystals.crystal import Crystal
from crystallite.crystals.neighbors import find_bonds
from crystallite.settings.config import GraphConfig

SHARED, FIRST = GraphConfig(), GraphConfig(ties="first")
EQUAL = 1e-9  # Å; our distances, pymatgen's and ASE's are the same sums in another order


def pymatgen_neighbors(crystal: Crystal, radius: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centres, neighbours and distances of all pairs within the radius."""
    species = [Element.from_Z(int(number)) for number in crystal.numbers]
    structure = Structure(Lattice(crystal.lattice), species, crystal.frac_coords)
    centers, neighbors, _, distances = structure.get_neighbor_list(radius)
    return centers, neighbors, distances


def ase_neighbors(crystal: Crystal, radius: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    atoms = Atoms(crystal.numbers, scaled_positions=crystal.frac_coords, cell=crystal.lattice, pbc=True)
    return neighbor_list("ijd", atoms, radius)


def check_against(reference: tuple[np.ndarray, ...], crystal: Crystal, config: GraphConfig = SHARED) -> None:
    """Every atom has the reference's nearest neighbours, with all those tied with the twelfth."""
    bonds = find_bonds(crystal, config)
    centers, neighbors, distances = reference
    for atom in range(len(crystal)):
        ours = slice(bonds.offsets[atom], bonds.offsets[atom + 1])
        of_atom = np.flatnonzero(centers == atom)
        of_atom = of_atom[np.argsort(distances[of_atom], kind="stable")]
        limit = distances[of_atom[11]] + config.tolerance * 1.00001  # see _OFF_GRID
        expected = of_atom[distances[of_atom] <= limit]
        np.testing.assert_allclose(bonds.distances[ours], distances[expected], rtol=0, atol=EQUAL)
        assert Counter(bonds.neighbors[ours].tolist()) == Counter(neighbors[expected].tolist())


def test_real_crystals_against_pymatgen(formation, elastic) -> None:
    for crystal in [*formation.select(range(0, 3938, 90)), *elastic.select(range(0, 1181, 40))]:
        radius = find_bonds(crystal, SHARED).distances.max() + 0.1
        check_against(pymatgen_neighbors(crystal, radius), crystal)


@given(crystals(), st.sampled_from([1e-3, 0.1]))
def test_made_up_crystals_against_ase(crystal: Crystal, tolerance: float) -> None:
    """With a wide tolerance ties lie beyond the radius that holds the twelfth neighbour."""
    config = GraphConfig(tolerance=tolerance)
    radius = find_bonds(crystal, SHARED).distances.max() + 0.3
    check_against(ase_neighbors(crystal, radius), crystal, config)


@given(crystals())
def test_first_ties_against_ase(crystal: Crystal) -> None:
    """The twelve shortest within the cutoff; bonds of length cutoff + 1 to atom 0 make up the number."""
    config = GraphConfig(ties="first", cutoff=4.0)
    bonds = find_bonds(crystal, config)
    centers, _, distances = ase_neighbors(crystal, config.cutoff)
    for atom in range(len(crystal)):
        expected = np.sort(distances[centers == atom])[:12]
        n_padded = 12 - len(expected)
        ours = slice(bonds.offsets[atom], bonds.offsets[atom + 1])
        np.testing.assert_allclose(bonds.distances[ours], [*expected, *n_padded * [5.0]], rtol=0, atol=EQUAL)
        assert not bonds.neighbors[ours][len(expected) :].any()
    assert (bonds.weights == 1).all()


@pytest.mark.parametrize("n_neighbors", [1, 8, 12, 20])
def test_weights_of_real_crystals(formation, n_neighbors: int) -> None:
    config = GraphConfig(n_neighbors=n_neighbors)
    for crystal in formation.select(range(n_neighbors, 3938, 13)):
        check_weights(crystal, config)


@given(crystals(), st.integers(1, 16))
def test_weights_of_made_up_crystals(crystal: Crystal, n_neighbors: int) -> None:
    check_weights(crystal, GraphConfig(n_neighbors=n_neighbors))


def check_weights(crystal: Crystal, config: GraphConfig) -> None:
    bonds = find_bonds(crystal, config)
    sums = np.add.reduceat(bonds.weights, bonds.offsets[:-1])
    np.testing.assert_allclose(sums, config.n_neighbors, rtol=1e-13)
    for atom in range(len(crystal)):
        ours = slice(bonds.offsets[atom], bonds.offsets[atom + 1])
        distances, weights = bonds.distances[ours], bonds.weights[ours]
        last = distances[config.n_neighbors - 1]
        below = distances < last - config.tolerance * 1.00001  # see _OFF_GRID
        assert (np.diff(distances) >= 0).all()
        assert (weights[below] == 1).all()
        assert (weights[~below] == weights[-1]).all()
        assert 0 < weights[-1] <= 1


def test_tied_bonds_share() -> None:
    """Rock salt: 6 neighbours at a/2 count whole, the 12 at a/√2 share the other 6."""
    bonds = find_bonds(rock_salt(5.64), SHARED)
    np.testing.assert_array_equal(np.diff(bonds.offsets), 18)
    np.testing.assert_array_equal(bonds.weights.reshape(8, 18), 8 * [6 * [1.0] + 12 * [0.5]])
    np.testing.assert_allclose(bonds.distances[:7], 6 * [2.82] + [5.64 / 2**0.5])


def test_sparse_crystal() -> None:
    """One atom every 9 Å: shared ties look as far as needed, the published rule makes bonds up."""
    crystal = made([9, 9, 9], [29], [0.3, 0.1, 0.7])
    published = find_bonds(crystal, FIRST)
    np.testing.assert_array_equal(published.distances, 12 * [9.0])
    np.testing.assert_array_equal(published.neighbors, 0)
    shared = find_bonds(crystal, SHARED)
    np.testing.assert_allclose(shared.distances, 6 * [9] + 12 * [9 * 2**0.5])
    np.testing.assert_array_equal(shared.weights, 6 * [1] + 12 * [0.5])
    far = find_bonds(made([9, 10, 100], [29], [0, 0, 0]), SHARED)
    np.testing.assert_allclose(far.distances[-4:], [18, 18, 20, 20])
    assert shortest_distance(crystal) == pytest.approx(9)


def test_padding_goes_to_atom_0() -> None:
    """Two atoms 2 Å apart in a wide cell: one real bond each and eleven to atom 0."""
    bonds = find_bonds(made([30, 30, 30], [1, 8], [[0, 0, 0], [2 / 30, 0, 0]]), FIRST)
    assert bonds.neighbors.tolist() == [1, *11 * [0], 0, *11 * [0]]
    np.testing.assert_allclose(bonds.distances, 2 * [2, *11 * [9]])


def test_bond_at_exactly_the_cutoff_counts() -> None:
    assert (find_bonds(made([8, 8, 8], [29], [0, 0, 0]), FIRST).distances[:6] == 8).all()


def test_a_gap_of_exactly_the_tolerance_does_not_hang_on_rounding() -> None:
    """3.001 - 3 is the tolerance of 0.001, give or take a bit that depends on the cell's orientation."""
    crystal = made([3, 3.001, 5], [29], [0, 0, 0])
    rng = np.random.default_rng(0)
    config = GraphConfig(n_neighbors=3)
    for _ in range(50):
        np.testing.assert_array_equal(find_bonds(rotated(crystal, rng), config).weights, 4 * [0.75])


def test_coordinates_outside_the_cell() -> None:
    rng = np.random.default_rng(1)
    crystal = rock_salt(5.64)
    expected = find_bonds(crystal, SHARED)
    far = Crystal(crystal.numbers, crystal.lattice, crystal.frac_coords + rng.integers(-9, 9, (8, 3)))
    for other in (far, shifted(crystal, rng)):
        bonds = find_bonds(other, SHARED)
        np.testing.assert_allclose(bonds.distances, expected.distances)
        np.testing.assert_array_equal(bonds.weights, expected.weights)
