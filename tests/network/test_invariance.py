"""A prediction depends on the crystal, not on how it is written down.

Tolerances. A graph stores lengths and weights in float32. Summing the same bonds in another order or number
moves them by at most one step of float32, 4.8e-7 Å, and mostly not at all: in double precision all 3,938
crystals of the formation set keep their prediction within 1e-8 eV under every change here. In float32 only
the network's own rounding remains; at most 5e-7 eV was seen, and 5e-6 is allowed. Without shared ties the
same changes move predictions by up to 0.1 eV (last test).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import predictions, random_network, settled
from strategies import (
    CHANGES,
    SUPERCELLS,
    close_packed,
    crystals,
    face_centered,
    in_cell,
    made,
    reordered,
    rotated,
    shifted,
    unimodular,
)

from crystallite.crystals.crystal import Crystal
from crystallite.graphs.packed import build_graphs
from crystallite.models.inference import predict_graphs
from crystallite.settings.config import GraphConfig, ModelConfig

CONFIG = GraphConfig()
EXACT, ROUNDED = 1e-6, 5e-6  # eV; see above


@pytest.mark.parametrize("name", CHANGES)
def test_real_crystals(name: str, formation, energy_model) -> None:
    """300 real crystals with the published formation-energy weights; 80 of them in double precision."""
    rng = np.random.default_rng(len(name))
    chosen = list(formation.select(rng.choice(len(formation), 300, replace=False)))
    before = build_graphs(chosen, CONFIG)
    after = build_graphs([CHANGES[name](crystal, rng) for crystal in chosen], CONFIG)
    difference = predict_graphs(energy_model, after) - predict_graphs(energy_model, before)
    assert np.abs(difference).max() < ROUNDED
    network = energy_model.network.double()
    difference = predictions(network, after, 80) - predictions(network, before, 80)
    assert np.abs(difference).max() * energy_model.targets.std[0] < EXACT


@pytest.fixture(
    scope="module",
    params=[ModelConfig(convolution="gated"), ModelConfig(angles="none"), ModelConfig()],
    ids=["gated", "edge-updating", "orders"],
)
def network(elastic, request):
    """A random network whose statistics have settled on real crystals."""
    network = random_network(request.param)
    return settled(network, build_graphs(list(elastic.select(range(64))), CONFIG)).double()


@given(crystals(), st.integers(0, 2**32 - 1), unimodular(), st.sampled_from(sorted(SUPERCELLS)))
def test_made_up_crystals(network, crystal: Crystal, seed: int, cell: np.ndarray, supercell: str) -> None:
    rng = np.random.default_rng(seed)
    written = [
        crystal,
        reordered(crystal, rng),
        shifted(crystal, rng),
        rotated(crystal, rng),
        rotated(crystal, rng, mirrored=True),
        in_cell(crystal, cell),
        in_cell(crystal, SUPERCELLS[supercell]),
        reordered(rotated(shifted(in_cell(crystal, cell @ SUPERCELLS[supercell]), rng), rng), rng),
    ]
    found = predictions(network, build_graphs(written, CONFIG))
    assert np.abs(found - found[0]).max() < EXACT


def test_orders_tell_packings_apart() -> None:
    """Cubic and hexagonal close packing have the same twelve bonds, at other angles."""
    both = build_graphs([face_centered(3.6), close_packed(3.6 / 2**0.5)], CONFIG)
    lengths, orders = (
        np.ptp(predictions(random_network(ModelConfig(angles=angles)).double(), both))
        for angles in ("none", "orders")
    )
    assert lengths < EXACT < 1e-3 < orders


def test_a_small_shift_changes_little() -> None:
    """Atoms of one kind of bonds and two kinds of angles (ABAC): their nodes do not hang on equal lengths."""
    ideal = close_packed(2.55, layers="ABAC")
    moved = ideal.frac_coords + np.array([[0, 0, 1.5e-4 / 8.3]] + 3 * [[0, 0, 0]])
    graphs = build_graphs([ideal, made(ideal.lattice, ideal.numbers, moved)], CONFIG)
    assert np.diff(graphs.node_offsets).tolist() == [2, 4]
    orders = predictions(random_network(ModelConfig(angles="orders")).double(), graphs)
    assert np.ptp(orders) < 1e-3


def test_published_ties_are_not_invariant(formation, energy_model) -> None:
    """The check itself can fail: cutting shells at the twelfth bond changes predictions of a supercell."""
    rng = np.random.default_rng(0)
    chosen = list(formation.select(range(0, len(formation), 4)))
    published = replace(CONFIG, ties="first")
    before = build_graphs(chosen, published)
    after = build_graphs(
        [reordered(in_cell(crystal, SUPERCELLS["2x1x1"]), rng) for crystal in chosen], published
    )
    difference = np.abs(predict_graphs(energy_model, after) - predict_graphs(energy_model, before))
    assert (difference > 1e-4).mean() > 0.005  # 1.7 % of the whole set
