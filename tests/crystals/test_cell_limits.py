"""Every way a crystal comes in has the same limits: elements, overlaps, sizes and shapes of cells."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
from ase import Atoms
from cif_texts import cif_text
from hypothesis import given
from pymatgen.core import DummySpecies, Lattice, Structure
from strategies import crystals, made, shortest_distance

from crystallite.crystals.cif import parse_cif
from crystallite.crystals.crystal import MIN_DISTANCE, Crystal, as_crystal, check_crystal
from crystallite.crystals.neighbors import find_bonds
from crystallite.crystals.overlaps import distance_below
from crystallite.datasets.dataset import Dataset
from crystallite.errors import CrystalError
from crystallite.settings.config import GraphConfig
from crystallite.sources.reading.pymatgen_json import crystal_of, structure_dict


def of_cif(crystal: Crystal) -> Crystal:
    (a, b, c), rows = np.diag(crystal.lattice), crystal.frac_coords
    sites = "\n".join(f"Na {x!r} {y!r} {z!r}" for x, y, z in rows.tolist())
    return parse_cif(cif_text(sites, cell=(a, b, c, 90, 90, 90)), "x")


def of_ase(crystal: Crystal) -> Crystal:
    return as_crystal(
        Atoms(crystal.numbers, scaled_positions=crystal.frac_coords, cell=crystal.lattice, pbc=True)
    )


def of_pymatgen(crystal: Crystal) -> Crystal:
    return as_crystal(Structure(Lattice(crystal.lattice), crystal.numbers, crystal.frac_coords))


def of_json(crystal: Crystal) -> Crystal:
    return crystal_of(structure_dict(crystal), "x")


def of_dataset(crystal: Crystal) -> Crystal:
    return next(iter(Dataset.from_crystals([crystal])))


@pytest.mark.parametrize("read", [as_crystal, of_cif, of_ase, of_pymatgen, of_json, of_dataset])
@pytest.mark.parametrize(
    ("crystal", "reason"),
    [
        (made([5, 5, 5], [11, 11], [[0, 0, 0], [0.09, 0, 0]]), "two atoms are 0.450 Å apart"),
        (made([4, 4, 4], [11, 11], [[0, 0, 0], [0.9999999, 0, 0]]), "two atoms are 0.000 Å apart"),
        (made([0.45, 5, 5], [11], [0, 0, 0]), "two atoms are 0.450 Å apart"),
        (made([5, 5, 1e9], [11], [0, 0, 0]), r"impossible: an edge of 1e\+09 Å \(at most 10,000\)"),
        (made([1e103, 6, 4], [11], [0, 0, 0]), "impossible: an edge of 1e.103 Å"),
        (made([4, 5, 1e154], [11], [0, 0, 0]), "impossible: an edge of 1e.154 Å"),
        (
            made([1, 1, 1], 30 * [11], np.random.default_rng(0).random((30, 3))),
            "30 atoms do not fit into 1 Å³",
        ),
    ],
)
def test_limits(read: Callable[[Crystal], Crystal], crystal: Crystal, reason: str) -> None:
    with pytest.raises(CrystalError, match=reason):
        read(crystal)


def test_what_is_small_but_real() -> None:
    """H2, and a needle and a plate as large as they may be: neighbours are found at once."""
    hydrogen = made([4, 4, 4], [1, 1], [[0, 0, 0], [0, 0, 0.74 / 4]])
    check_crystal(hydrogen, "x")
    find_bonds(hydrogen, GraphConfig())
    start = time.process_time()
    for lengths in ([5, 5, 9999], [0.51, 9999, 9999], [9999, 9999, 9999]):
        crystal = made(lengths, [29], [0, 0, 0])
        check_crystal(crystal, "x")
        bonds = find_bonds(crystal, GraphConfig(n_neighbors=100))
        assert np.isfinite(bonds.distances).all()
        assert (np.diff(bonds.distances) >= 0).all()
    assert time.process_time() - start < 5  # seconds; everything is compiled by now


def test_a_cell_too_skewed_to_search() -> None:
    """One edge almost in the plane of the others: a box around the search sphere holds millions of images."""
    lattice = np.array([[100, 0, 0], [0, 100, 0], [70.7, 70.7, 0.11]])
    with pytest.raises(CrystalError, match=r"too skewed .* reduce it first"):
        check_crystal(Crystal(np.array([29], np.uint8), lattice, np.zeros((1, 3))), "x")


@pytest.mark.parametrize("number", [0, 101, 257, 300, -255])
def test_numbers_that_are_no_elements(number: int) -> None:
    with pytest.raises(CrystalError, match="outside the table"):
        as_crystal(Atoms(numbers=[number], positions=[[0, 0, 0]], cell=[4, 4, 4], pbc=True))


def test_dummies_and_sheets_of_pymatgen() -> None:
    with pytest.raises(CrystalError, match="outside the table"):
        as_crystal(Structure(Lattice.cubic(4), [DummySpecies("X"), "Na"], [[0, 0, 0], [0.5, 0.5, 0.5]]))
    sheet = Lattice([[2.46, 0, 0], [-1.23, 2.13, 0], [0, 0, 16]], pbc=(True, True, False))
    with pytest.raises(CrystalError, match="not periodic in three directions"):
        as_crystal(Structure(sheet, ["C", "C"], [[1 / 3, 2 / 3, 0.5], [2 / 3, 1 / 3, 0.5]]))


@given(crystals())
def test_a_distance_below_a_limit_is_found_if_there_is_one(crystal: Crystal) -> None:
    shortest = shortest_distance(crystal)
    assert distance_below(shortest * 0.999, crystal.lattice, crystal.frac_coords) == np.inf
    found = distance_below(shortest * 1.001, crystal.lattice, crystal.frac_coords)
    assert found == pytest.approx(shortest, rel=1e-3)


def test_many_atoms_are_looked_at_in_no_time() -> None:
    """40,000 atoms on a grid, and on one line; every pair would take minutes."""
    steps = np.arange(34) / 34
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    line = np.zeros((40_000, 3))
    line[:, 1] = np.random.default_rng(0).permutation(40_000) / 40_000
    start = time.process_time()
    assert distance_below(MIN_DISTANCE, np.diag([100.0, 100, 100]), grid) == np.inf
    assert distance_below(0.2, np.diag([9_000.0, 9_000, 9_000]), line) == np.inf
    assert distance_below(0.3, np.diag([9_000.0, 9_000, 9_000]), line) == pytest.approx(0.225)
    assert time.process_time() - start < 3
