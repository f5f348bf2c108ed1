"""Keys: equal for one material however it is written down, different for others."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import (
    close_packed,
    crystals,
    face_centered,
    in_cell,
    perovskite,
    reordered,
    rock_salt,
    rotated,
    shifted,
)

from crystallite.crystals.crystal import Crystal
from crystallite.datasets.dataset import Dataset
from crystallite.graphs.packed import build_graphs, full_graphs
from crystallite.materials.groups import material_groups
from crystallite.materials.keys import material_keys
from crystallite.settings.config import GraphConfig

CONFIG = GraphConfig()
PACKINGS = "AB", "ABAC", "ABACBCBACACB"  # all atoms have hexagonal surroundings, or half of them


def keys(*several: Crystal) -> np.ndarray:
    return material_keys(build_graphs(several, CONFIG))


def are_same(one: Crystal, other: Crystal) -> bool:
    a, b = keys(one, other)
    return bool((a == b).any())


@given(crystals(), st.integers(0, 2**32 - 1), st.booleans())
def test_keys_do_not_depend_on_how_a_crystal_is_written(crystal, seed, mirrored):
    rng = np.random.default_rng(seed)
    matrix = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 2]])
    other = rotated(shifted(reordered(in_cell(crystal, matrix), rng), rng), rng, mirrored=mirrored)
    assert are_same(crystal, other)


def test_every_real_crystal_is_found_in_another_cell(elastic):
    """1,181 crystals: one pair in 100,000 may be missed, so none of these."""
    rng = np.random.default_rng(0)
    cells = [np.diag([2, 1, 1]), np.array([[1, 1, 0], [-1, 1, 0], [0, 0, 1]]), np.diag([1, 1, 3])]
    others = [
        rotated(shifted(reordered(in_cell(crystal, cells[k % 3]), rng), rng), rng)
        for k, crystal in enumerate(elastic)
    ]
    assert (keys(*elastic) == keys(*others)).any(axis=1).all()


@pytest.mark.parametrize("name", ["elastic", "formation"])
def test_different_materials_have_different_keys(name):
    """Only what `material_groups`, which is more tolerant and looks at other numbers, finds the same."""
    dataset = Dataset.read(name)
    dataset = dataset.select([*range(len(dataset)), *range(0, len(dataset), 100)])
    graphs = build_graphs(dataset.arrays, CONFIG)
    groups = material_groups([str(row) for row in range(len(dataset))], graphs)
    for column in material_keys(graphs).T:
        order = np.argsort(column, kind="stable")
        same = column[order][1:] == column[order][:-1]
        assert same.sum() >= len(dataset) // 101
        assert (groups[order][1:][same] == groups[order][:-1][same]).all()


def test_what_changes_a_crystal_changes_its_key():
    salt = rock_salt(5.64)
    assert are_same(salt, rock_salt(5.64))
    assert not are_same(salt, rock_salt(5.641))  # bonds are 0.0005 Å longer
    assert not are_same(salt, rock_salt(5.64, cation=19))
    assert not are_same(salt, rock_salt(5.64, cation=17, anion=19))
    assert not are_same(face_centered(3.6, 29), face_centered(3.6, 28))
    packings = [face_centered(3.6), *(close_packed(3.6 / 2**0.5, layers=layers) for layers in PACKINGS)]
    for one, other in combinations(packings, 2):  # the same bonds at other angles
        assert not are_same(one, other)
    other = perovskite(3.9)
    moved = Crystal(other.numbers, other.lattice, other.frac_coords + np.eye(5, 3, -1) * 0.02)
    assert not are_same(other, moved)


def test_full_and_reduced_graphs_have_the_same_keys(elastic):
    several = [elastic.crystal(row) for row in range(40)]
    assert (keys(*several) == material_keys(full_graphs(several, CONFIG))).any(axis=1).all()


def test_no_crystals_have_no_keys():
    assert keys().shape == (0, 2)


def test_one_atom_among_many_changes_the_key():
    """A supercell of 216 atoms, one of them moved by 0.1 Å; and 60 orders of two elements on its sites."""
    cell = in_cell(face_centered(3.8), np.diag([3, 3, 6]))
    moved = Crystal(cell.numbers, cell.lattice, cell.frac_coords.copy())
    moved.frac_coords[7] += np.linalg.solve(cell.lattice.T, [0.1, 0, 0])
    rng = np.random.default_rng(0)
    half = np.repeat(np.array([29, 79], np.uint8), len(cell) // 2)
    orders = [Crystal(rng.permutation(half), cell.lattice, cell.frac_coords) for _ in range(60)]
    assert not are_same(cell, moved)
    for column in keys(*orders).T:
        assert len(np.unique(column)) == len(orders)
