"""Primitive cells are those that spglib finds, for any way to write the crystal down."""

from __future__ import annotations

import time

import numpy as np
import pytest
import spglib
from hypothesis import given
from hypothesis import strategies as st
from strategies import CHANGES, crystals, in_cell, made, reordered, shifted, unimodular

from crystallite.crystals.crystal import Crystal, pack_crystals
from crystallite.crystals.primitive import SAME_PLACE, primitive_cells


def described(chosen: list[Crystal]) -> np.ndarray:
    return primitive_cells(pack_crystals(chosen), np.arange(len(chosen)))


def of_spglib(crystal: Crystal) -> tuple[float, float, float]:
    cell = (crystal.lattice, crystal.frac_coords, crystal.numbers)
    lattice, _, numbers = spglib.find_primitive(cell, symprec=SAME_PLACE)
    edges = np.linalg.norm(spglib.niggli_reduce(lattice, eps=1e-3), axis=1)
    return len(numbers), edges.max(), edges.min()


@pytest.mark.parametrize("data", ["formation", "elastic"])
def test_as_spglib_finds_them(data, request) -> None:
    """It moves edges by up to SAME_PLACE to where symmetry has them."""
    whole = request.getfixturevalue(data)
    rng = np.random.default_rng(0)
    chosen = list(whole.select(rng.choice(len(whole), 100, replace=False)))
    supercells = [reordered(shifted(in_cell(crystal, np.diag([1, 2, 3])), rng), rng) for crystal in chosen]
    for several in (chosen, supercells):
        np.testing.assert_allclose(described(several), list(map(of_spglib, several)), rtol=1e-3)


@pytest.mark.parametrize("name", CHANGES)
def test_they_do_not_depend_on_how_a_crystal_is_written(name: str, formation) -> None:
    rng = np.random.default_rng(len(name))
    chosen = list(formation.select(rng.choice(len(formation), 200, replace=False)))
    changed = [CHANGES[name](crystal, rng) for crystal in chosen]
    np.testing.assert_allclose(described(changed), described(chosen), rtol=1e-6)


@given(crystals(), unimodular(), st.integers(1, 3), st.integers(1, 5))
def test_supercells_of_made_up_crystals(crystal, matrix, twice, often) -> None:
    supercell = in_cell(in_cell(crystal, np.diag([1, twice, often])), matrix)
    np.testing.assert_allclose(described([supercell]), described([crystal]), rtol=1e-6)


def test_chosen_rows_alone(elastic) -> None:
    everything = primitive_cells(elastic.arrays, np.arange(len(elastic)))
    rows = np.array([700, 3, 3])
    np.testing.assert_array_equal(primitive_cells(elastic.arrays, rows), everything[rows])


def test_a_layer_with_vacuum_and_one_atom_that_is_another() -> None:
    graphene = made([[2.46, 0, 0], [-1.23, 2.13, 0], [0, 0, 20]], [6, 6], [1 / 3, 2 / 3, 0, 2 / 3, 1 / 3, 0])
    supercell = in_cell(graphene, np.diag([3, 3, 1]))
    np.testing.assert_allclose(described([supercell]), [[2, 20, 2.4596]], rtol=1e-3)
    supercell.numbers[4] = 7
    np.testing.assert_allclose(described([supercell]), [[18, 20, 3 * 2.4596]], rtol=1e-3)


@pytest.mark.parametrize("n_missing", [0, 1, 2])
def test_thousands_of_atoms_take_no_time(n_missing: int) -> None:
    """26,998 atoms are twice 13,499, a prime number: a translation of so many parts is never far."""
    places = np.stack(np.meshgrid(*3 * [np.arange(30)]), axis=-1).reshape(-1, 3)[n_missing:] / 30
    crystal = made([75, 75, 75], len(places) * [29], places)
    described([made([4, 4, 4], [29, 29], [0, 0, 0, 0.5, 0.5, 0.5])])  # compiled
    before = time.perf_counter()
    [found] = described([crystal])
    assert time.perf_counter() - before < 20
    assert found.tolist() == ([len(places), 75, 75] if n_missing else pytest.approx([1, 2.5, 2.5]))
