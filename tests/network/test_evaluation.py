"""Evaluation in compiled loops is the training network in evaluation mode, to rounding of single precision.

The reference computes in plain tensor operations and double precision. Seen: 2e-7 to 9e-7 of the largest
output, and 1e-7 to 8e-7 with plain operations in single precision.
"""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from networks import outputs, random_network, settled

from crystallite.graphs.packed import PackedGraphs, build_graphs, gather_batch
from crystallite.models.inference import network_outputs
from crystallite.models.torch_networks import network_of, weights_of
from crystallite.network.evaluation import EvaluationNetwork
from crystallite.network.model import CrystalNetwork
from crystallite.network.weights import weight_shapes
from crystallite.settings.config import GraphConfig, ModelConfig

CONFIGS = {
    "gated": ModelConfig(convolution="gated"),
    "gated, odd": ModelConfig(
        convolution="gated", atom_width=19, n_convolutions=2, hidden_width=7, n_hidden=3, n_outputs=3
    ),
    "plain": ModelConfig(convolution="plain"),
    "plain, odd": ModelConfig(convolution="plain", atom_width=7, n_convolutions=5, n_outputs=2),
    "edge-updating": ModelConfig(convolution="edge-updating", n_convolutions=4),
    "edge-updating, one layer": ModelConfig(convolution="edge-updating", n_convolutions=1, edge_width=7),
    "edge-updating, odd": ModelConfig(convolution="edge-updating", atom_width=18, edge_width=5, n_outputs=3),
    "no angles": ModelConfig(angles="none"),
    "gated, odd, no angles": ModelConfig(convolution="gated", angles="none", atom_width=19, n_convolutions=2),
    "gated, per atom": ModelConfig(convolution="gated", readout="per-atom", n_outputs=2),
    "edge-updating, per atom": ModelConfig(convolution="edge-updating", readout="per-atom"),
    "classes": ModelConfig(task="classification", n_outputs=2),
    "few Gaussians, gated": ModelConfig(convolution="gated", gaussian_stop=1.8),
    "few Gaussians, plain": ModelConfig(convolution="plain", gaussian_stop=1.8, n_convolutions=2),
    "few Gaussians, edge-updating": ModelConfig(convolution="edge-updating", gaussian_stop=1.8),
}  # fmt: skip


@pytest.fixture(scope="module")
def graphs(formation) -> PackedGraphs:
    return build_graphs(list(formation.select(range(0, 3938, 40))), GraphConfig())


@pytest.fixture(scope="module", params=CONFIGS)
def network(request: pytest.FixtureRequest, graphs) -> CrystalNetwork:
    return settled(random_network(CONFIGS[request.param]), graphs)


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def evaluated(network: CrystalNetwork, graphs: PackedGraphs, rows: object = None) -> np.ndarray:
    return network_outputs(network, graphs, np.arange(graphs.n_crystals) if rows is None else np.array(rows))


@torch.no_grad()
def test_it_equals_plain_tensor_operations_in_double_precision(network, graphs) -> None:
    expected = outputs(copy.deepcopy(network).double(), graphs).numpy()
    assert np.ptp(expected, axis=0).min() > 0.01 * np.abs(expected).max()
    error = np.abs(evaluated(network, graphs) - expected).max()
    # Numbers inside the network are near 1, and so is their rounding, however small the outputs are.
    assert error < 1e-6 * max(np.abs(expected).max(), 1)


@torch.no_grad()
def test_published_models_equal_double_precision(graphs, energy_model) -> None:
    found = evaluated(energy_model.network, graphs)
    expected = outputs(copy.deepcopy(energy_model.network).double(), graphs).numpy()
    assert np.abs(found - expected).max() < 1e-6 * np.abs(expected).max()


def test_threads_change_no_bit(network, graphs, threads) -> None:
    threads(1)
    expected = evaluated(network, graphs)
    for number in (2, 3):
        threads(number)
        np.testing.assert_array_equal(evaluated(network, graphs), expected)


def test_company_changes_no_bit(network, graphs) -> None:
    """Neither the other crystals of a batch nor their order: each has its own sums."""
    expected = evaluated(network, graphs)
    order = np.random.default_rng(0).permutation(len(expected))
    np.testing.assert_array_equal(evaluated(network, graphs, order), expected[order])
    for row in (0, 50, 98):
        np.testing.assert_array_equal(evaluated(network, graphs, [row]), expected[[row]])


def test_nothing_in_nothing_out(network, graphs) -> None:
    n_outputs = network.config.n_outputs
    assert evaluated(network, graphs, np.empty(0, np.int64)).shape == (0, n_outputs)
    empty = gather_batch(graphs, np.empty(0, np.int64))
    assert EvaluationNetwork(network.config, weights_of(network)).outputs(empty).shape == (0, n_outputs)


def test_the_names_and_shapes_are_those_of_the_training_network(network) -> None:
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert weight_shapes(network.config) == shapes


def test_a_network_and_its_arrays_share_their_memory(network, graphs) -> None:
    weights = {name: array.copy() for name, array in weights_of(network).items()}
    again = network_of(network.config, weights)
    before = evaluated(again, graphs)
    np.testing.assert_array_equal(before, evaluated(network, graphs))
    with torch.no_grad():
        again.output.bias[0] += 1
    assert weights["output.bias"][0] == network.output.bias[0] + 1
    assert (evaluated(again, graphs)[:, 0] != before[:, 0]).any()
    assert all(parameter.requires_grad for parameter in again.parameters())
