"""Orders of atoms: published values of simple structures, spherical harmonics, and what changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import sph_harm_y
from strategies import (
    SUPERCELLS,
    close_packed,
    crystals,
    face_centered,
    in_cell,
    made,
    reordered,
    rotated,
    shifted,
)

from crystallite.crystals.crystal import Crystal
from crystallite.crystals.neighbors import Bonds, find_bonds
from crystallite.crystals.orientation import DECAY, DEGREES, N_ORDERS
from crystallite.settings.config import GraphConfig

BODY_CENTERED = made([3, 3, 3], [26] * 2, [[0, 0, 0], [0.5, 0.5, 0.5]])
SIMPLE_CUBIC = made([3, 3, 3], [84], [0, 0, 0])


# Mickel et al., J. Chem. Phys. 138, 044501 (2013), table I
@pytest.mark.parametrize(
    ("crystal", "n_neighbors", "q4", "q6"),
    [
        (face_centered(4), 12, 0.191, 0.575),
        (close_packed(3), 12, 0.097, 0.485),
        (BODY_CENTERED, 8, 0.509, 0.629),
        (BODY_CENTERED, 14, 0.036, 0.511),
        (SIMPLE_CUBIC, 6, 0.764, 0.354),
    ],
)
def test_published_values(crystal: Crystal, n_neighbors: int, q4: float, q6: float) -> None:
    orders = find_bonds(crystal, GraphConfig(n_neighbors=n_neighbors)).orders
    np.testing.assert_allclose(orders[:, [3, 5]], len(crystal) * [[q4, q6]], atol=5.1e-4)


def bonds_with_directions(crystal: Crystal, atom: int, bonds: Bonds) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors and lengths of the bonds of an atom, from all images within the longest one."""
    longest = bonds.distances[bonds.offsets[atom] : bonds.offsets[atom + 1]].max()
    inverse = np.linalg.inv(crystal.lattice)
    reach = np.ceil(longest * np.linalg.norm(inverse, axis=0)).astype(int) + 1
    images = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij"), -1).reshape(-1, 3)
    wrapped = crystal.frac_coords - np.floor(crystal.frac_coords)
    vectors = ((wrapped - wrapped[atom])[:, None] + images[None]).reshape(-1, 3) @ crystal.lattice
    lengths = np.linalg.norm(vectors, axis=1)
    near = (lengths > 1e-6) & (lengths <= longest + 1e-9)
    vectors, lengths = vectors[near], lengths[near]
    order = np.argsort(lengths, kind="stable")
    return vectors[order] / lengths[order, None], lengths[order]


def orders_by_harmonics(directions: np.ndarray, shares: np.ndarray) -> list[float]:
    """Steinhardt's definition: sqrt(4π / (2l + 1) sum_m |sum_k s_k Y_lm(k)|²)."""
    polar, azimuth = np.arccos(directions[:, 2].clip(-1, 1)), np.arctan2(directions[:, 1], directions[:, 0])
    found = []
    for degree in range(1, DEGREES + 1):
        sums = [shares @ sph_harm_y(degree, m, polar, azimuth) for m in range(-degree, degree + 1)]
        found.append(np.sqrt(4 * np.pi / (2 * degree + 1) * np.sum(np.abs(sums) ** 2)))
    return found


# Roots turn rounding of 1e-15 in the sums, some hundred times larger for l = 6, into 1e-6 near zero.
@given(crystals())
def test_spherical_harmonics(crystal: Crystal) -> None:
    bonds = find_bonds(crystal, GraphConfig())
    assert bonds.orders.shape == (len(crystal), N_ORDERS)
    for atom in range(len(crystal)):
        directions, lengths = bonds_with_directions(crystal, atom, bonds)
        weights = bonds.weights[bonds.offsets[atom] : bonds.offsets[atom + 1]]
        near = weights * np.exp(-DECAY * (lengths / lengths[0] - 1))
        expected = [
            *orders_by_harmonics(directions, weights / weights.sum()),
            *orders_by_harmonics(directions, near / near.sum()),
        ]
        np.testing.assert_allclose(bonds.orders[atom], expected, atol=1e-6)


@given(crystals(), st.integers(0, 2**32 - 1), st.sampled_from(sorted(SUPERCELLS)))
def test_they_depend_on_the_crystal_alone(crystal: Crystal, seed: int, supercell: str) -> None:
    rng = np.random.default_rng(seed)
    expected = find_bonds(crystal, GraphConfig()).orders
    for changed in (shifted(crystal, rng), rotated(crystal, rng), rotated(crystal, rng, mirrored=True)):
        np.testing.assert_allclose(find_bonds(changed, GraphConfig()).orders, expected, atol=2e-6)
    for changed in (reordered(crystal, rng), in_cell(crystal, SUPERCELLS[supercell])):
        found = find_bonds(changed, GraphConfig()).orders
        furthest = np.abs(found[:, None] - expected).max(axis=2)  # every atom is like one of the others
        assert max(furthest.min(axis=0).max(), furthest.min(axis=1).max()) < 2e-6


def test_a_shell_of_many_tied_atoms() -> None:
    """1,000 neighbours, all tied: each buffer grows, and of an even sphere no order is left."""
    turns = np.arange(1000) * np.pi * (1 + 5**0.5)
    heights = 1 - (2 * np.arange(1000) + 1) / 1000
    around = np.sqrt(1 - heights**2)
    sphere = 10 * np.stack([around * np.cos(turns), around * np.sin(turns), heights], axis=1)
    places = np.concatenate([np.zeros((1, 3)), sphere]) / 100 + 0.5
    crystal = made([100, 100, 100], [29] + 1000 * [1], places)
    bonds = find_bonds(crystal, GraphConfig())
    assert bonds.offsets[1] == 1000
    np.testing.assert_allclose(bonds.orders[0], 0, atol=0.01)


def test_made_up_bonds_have_no_direction() -> None:
    """Bonds that the published rule makes up for an atom in a vacuum count for no order."""
    lonely = made([9, 9, 9], [29], [0, 0, 0])
    assert not find_bonds(lonely, GraphConfig(ties="first")).orders.any()
    pair = made([30, 30, 30], [1, 8], [[0, 0, 0], [2 / 30, 0, 0]])
    np.testing.assert_allclose(find_bonds(pair, GraphConfig(ties="first")).orders, 1, atol=1e-7)
