"""Batches gathered by a device from graphs in its own memory are those that the processor gathers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from networks import furthest, random_network, training_step
from training_runs import energies, metrics, train

from crystallite.graphs.packed import PackedGraphs, build_graphs
from crystallite.models.inference import network_outputs
from crystallite.network.batches import ResidentGraphs, batch_inputs, placed
from crystallite.settings.config import GraphConfig, ModelConfig

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")),
]
SMALL = ModelConfig(atom_width=8, hidden_width=8, n_convolutions=2)


@pytest.fixture(scope="module")
def graphs(elastic) -> PackedGraphs:
    return build_graphs(elastic.select(range(60)).arrays, GraphConfig())


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("rows", [[5], [3, 59, 0, 3], list(range(60)), []])
def test_every_field_is_the_same(graphs, rows, device):
    network = random_network(SMALL).double().to(device)
    rows = np.array(rows, dtype=np.int64)
    theirs = batch_inputs(network, graphs, rows)
    ours = batch_inputs(network, ResidentGraphs(graphs, network.embedding.weight), rows)
    for name, expected in theirs._asdict().items():
        found = getattr(ours, name)
        if isinstance(expected, torch.Tensor):
            assert found.device.type == device
            # to be used as an index, whole numbers may be of either size
            torch.testing.assert_close(
                found, expected, rtol=0, atol=0, check_dtype=expected.is_floating_point()
            )
        elif name != "bonds":
            assert found == pytest.approx(expected, rel=1e-12), name


@pytest.mark.parametrize("device", DEVICES)
def test_networks_compute_the_same_with_them(graphs, device):
    network = random_network(SMALL).double().to(device)
    resident = ResidentGraphs(graphs, network.embedding.weight)
    rows = np.random.default_rng(0).permutation(graphs.n_crystals)
    expected = network_outputs(network.cpu(), graphs, rows)
    found = network_outputs(network.to(device), resident, rows)
    np.testing.assert_allclose(found, expected, rtol=1e-6)  # written as float32, computed in double


def test_the_processor_keeps_packed_graphs(graphs):
    assert placed(graphs, random_network(SMALL)) is graphs


def test_memory_is_as_documented(formation):
    packed = build_graphs(formation.select(range(400)).arrays, GraphConfig())
    resident = ResidentGraphs(packed, torch.zeros(1))
    tensors = [value for value in vars(resident).values() if isinstance(value, torch.Tensor)]
    assert sum(tensor.nbytes for tensor in tensors) / 400 < 1100


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_training_on_a_gpu_follows_that_on_the_processor(tmp_path):
    here = metrics(train(energies(), tmp_path / "cpu").folder)
    there = metrics(train(energies(), tmp_path / "cuda", device="cuda").folder)
    for ours, theirs in zip(there, here, strict=True):
        # float32 sums in another order, amplified by 24 steps
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_training_step_on_a_gpu_has_the_gradients_of_the_processor(graphs):
    network = random_network(SMALL).double()
    truth = torch.linspace(-1, 1, graphs.n_crystals).unsqueeze(1)
    expected = training_step(network, graphs, truth)
    found = training_step(network.cuda(), graphs, truth.cuda())
    ours = {name: gradient.cpu() for name, gradient in found.gradients.items()}
    assert furthest(ours, expected.gradients) < 1e-9  # double precision, sums in another order
