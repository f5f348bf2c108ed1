"""Batches are the same wherever the network is, and a GPU computes from them what the CPU computes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from networks import furthest, random_network, training_step
from training_runs import energies, metrics, train

from crystallite.graphs.packed import PackedGraphs, build_graphs
from crystallite.models.inference import network_outputs
from crystallite.network.batches import batch_inputs
from crystallite.settings.config import GraphConfig, ModelConfig

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
SMALL = ModelConfig(atom_width=8, hidden_width=8, n_convolutions=2)


@pytest.fixture(scope="module")
def graphs(elastic) -> PackedGraphs:
    return build_graphs(elastic.select(range(60)).arrays, GraphConfig())


@pytest.mark.parametrize("rows", [[5], [3, 59, 0, 3], list(range(60)), []])
def test_every_field_is_the_same(graphs, rows):
    network = random_network(SMALL).double()
    rows = np.array(rows, dtype=np.int64)
    here = batch_inputs(network, graphs, rows)
    there = batch_inputs(network.cuda(), graphs, rows)
    for name, expected in here._asdict().items():
        found = getattr(there, name)
        if isinstance(expected, torch.Tensor):
            assert found.device.type == "cuda"
            torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=0)
        else:
            assert found == expected, name


def test_networks_compute_the_same(graphs):
    network = random_network(SMALL).double()
    rows = np.random.default_rng(0).permutation(graphs.n_crystals)
    expected = network_outputs(network, graphs, rows)
    found = network_outputs(network.cuda(), graphs, rows)
    np.testing.assert_allclose(found, expected, rtol=1e-6)  # written as float32, computed in double


def test_training_on_a_gpu_follows_that_on_the_cpu(tmp_path):
    here = metrics(train(energies(), tmp_path / "cpu").folder)
    there = metrics(train(energies(), tmp_path / "cuda", device="cuda").folder)
    for ours, theirs in zip(there, here, strict=True):
        # float32 sums in another order, amplified by 24 steps
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-3)


def test_a_training_step_on_a_gpu_has_the_gradients_of_the_cpu(graphs):
    network = random_network(SMALL).double()
    truth = torch.linspace(-1, 1, graphs.n_crystals).unsqueeze(1)
    expected = training_step(network, graphs, truth)
    found = training_step(network.cuda(), graphs, truth.cuda())
    ours = {name: gradient.cpu() for name, gradient in found.gradients.items()}
    assert furthest(ours, expected.gradients) < 1e-9  # double precision, sums in another order
